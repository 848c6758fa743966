// Points placed on pictures by hand: with a mouse, a finger or keys; skipped, undone, started from a guess. A kernel keeps
// them in a file; without one the page does, and offers the same file.
import { clamp, h, hint, range, widget } from "./shared.js";

const ON = 8, REACH = 20, SLIP = 5; // CSS px: a press on a point; one that may drag it; a press that is no drag yet
const MOST = 16, STEP = 1.5, LOUPE = 4; // the largest zoom, a step of it; how much larger the circle beside a finger shows
const KEPT = "lddmmlib-labels-";

export const placed = label => label?.length === 2;
/** The first point after `from` that is to do, else from. */
export const next = (face, from) =>
  range(face.length).map(i => (from + 1 + i) % face.length).find(i => face[i] === null) ?? from;
/** The window [x, y, side] on a picture that is `zoom` times enlarged about (x, y), never beyond the picture's square. */
export function framed([x, y, w, hh], { zoom, at }) {
  const whole = Math.max(w, hh), side = whole / zoom, middle = [x + w / 2 - 0.5, y + hh / 2 - 0.5];
  const edge = (whole - side) / 2;
  return [...middle.map((m, d) => clamp(at?.[d] ?? m, m - edge, m + edge) - side / 2), side];
}
/** The labels as COCO keypoint json, as the kernel writes them. */
export function coco({ names, files, sizes, boxes, labels }) {
  const own = [...new Set(files)], is = (face, what) => range(face.length).filter(i => what(face[i]));
  return {
    info: { contributor: "lddmmlib" },
    images: own.map((name, i) => {
      const [width, height] = sizes[files.indexOf(name)];
      return { id: i + 1, file_name: name, height, width };
    }),
    annotations: labels.map((face, i) => ({
      id: i + 1, image_id: own.indexOf(files[i]) + 1, category_id: 1,
      keypoints: face.flatMap(label => (placed(label) ? [...label, 2] : [0, 0, 0])),
      num_keypoints: is(face, placed).length, bbox: boxes[i], area: boxes[i][2] * boxes[i][3],
      segmentation: [], iscrowd: 0,
      attributes: { skipped: is(face, label => label?.length === 0), to_do: is(face, label => label === null) },
    })),
    categories: [{ id: 1, name: "face", supercategory: "person", keypoints: names, skeleton: [] }],
  };
}
/** What a page without a kernel kept of its labels; null if nothing that fits. */
export function remembered(text, labels) {
  try {
    const kept = JSON.parse(text), fits = label => label === null || (Array.isArray(label) && [0, 2].includes(label.length));
    const right = kept.length === labels.length && kept.every((f, i) => f.length === labels[i].length && f.every(fits));
    return right ? kept : null;
  } catch {
    return null;
  }
}
/** Changes of one face each, to go back and forth over; moves of one point by keys are one change. */
export class History {
  past = [];
  future = [];
  add(change) {
    const last = this.past.at(-1);
    if (change.keys !== undefined && last?.keys === change.keys && last.index === change.index) last.after = change.after;
    else this.past.push(change);
    this.future = [];
  }
  back() { return this.step(this.past, this.future, "before"); }
  forth() { return this.step(this.future, this.past, "after"); }
  step(from, to, what) {
    const change = from.pop();
    if (!change) return null;
    to.push({ ...change, keys: undefined });
    return { index: change.index, face: change[what], landmark: change.landmark };
  }
}

// ---------------------------------------------------------------------------------------------------- the picture

function paint(plot, { bitmap, view: [x, y, w, hh], box: [bx, by, bw, bh], face, landmark, loupe }) {
  const { g, width } = plot, [left, top] = plot.at([x - 0.5, y - 0.5]), [right, bottom] = plot.at([x + w - 0.5, y + hh - 0.5]);
  g.imageSmoothingQuality = "high";
  g.drawImage(bitmap, left, top, right - left, bottom - top);
  plot.line([[bx, by], [bx + bw, by], [bx + bw, by + bh], [bx, by + bh]], { colour: "#fff", width: 1, dash: [4, 4], close: true, alpha: 0.6 });
  g.font = `600 11px ${getComputedStyle(plot.node).fontFamily}`;
  Object.assign(g, { lineWidth: 3, strokeStyle: "#000", fillStyle: "#fff", textBaseline: "middle", textAlign: "left" });
  face.forEach((label, i) => {
    if (!placed(label)) return;
    const [u, v] = plot.at(label);
    g.strokeText(i + 1, u + 6, v - 7);
    g.fillText(i + 1, u + 6, v - 7);
    plot.dots([label], { colour: i === landmark ? "#ff9a52" : "#7cc7ff", radius: 3, edge: "#00263d" });
    Object.assign(g, { lineWidth: 3, strokeStyle: "#000", fillStyle: "#fff" });
  });
  if (!loupe) return;
  const size = width / 4, [u, v] = plot.at(loupe), at = [u < width / 2 ? width - size / 2 : size / 2, size / 2];
  g.save();
  g.beginPath();
  g.arc(...at, size / 2 - 2, 0, 2 * Math.PI);
  g.clip();
  g.setTransform(g.getTransform().translate(...at).scale(LOUPE).translate(-u, -v));
  g.drawImage(bitmap, left, top, right - left, bottom - top);
  g.restore();
  g.beginPath();
  for (const [dx, dy] of [[-6, 0], [6, 0], [0, -6], [0, 6]]) { g.moveTo(...at); g.lineTo(at[0] + dx, at[1] + dy); }
  g.moveTo(at[0] + size / 2 - 2, at[1]);
  g.arc(...at, size / 2 - 2, 0, 2 * Math.PI);
  Object.assign(g, { strokeStyle: "#ff9a52", lineWidth: 2 });
  g.stroke();
}

/** A mouse and fingers on the picture: tap(point, on) places or chooses, drag(i) begins to move point i, by(move) moves
    it, done() ends it; the rest of the presses move the window, two fingers and the wheel zoom it. */
function gestures(ui, plot, { near, tap, drag, by, done, zoom, pan, zoomed }) {
  const { canvas } = plot, { signal } = ui, fingers = new Map();
  let start = null, apart = 0;
  const on = (name, act, options = {}) => canvas.addEventListener(name, act, { signal, ...options });
  const pair = () => { const [[a, b], [c, d]] = fingers.values(); return { middle: [(a + c) / 2, (b + d) / 2], gap: Math.hypot(a - c, b - d) }; };
  const event = ([clientX, clientY]) => ({ clientX, clientY });
  on("pointerdown", e => {
    if (e.button !== 0) return;
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    canvas.setPointerCapture(e.pointerId);
    if (fingers.size === 2) {
      if (start?.moved && start.i !== null) done();
      start = null;
      apart = pair().gap;
    } else if (fingers.size === 1) {
      start = { at: [e.clientX, e.clientY], i: near(plot.from(e), REACH), moved: false, touch: e.pointerType === "touch" };
    }
  });
  on("pointermove", e => {
    const last = fingers.get(e.pointerId), here = [e.clientX, e.clientY];
    if (!last) { canvas.style.cursor = near(plot.from(e), ON) === null ? "" : "grab"; return; }
    fingers.set(e.pointerId, here);
    if (fingers.size === 2) {
      const { middle, gap } = pair();
      zoom(gap / apart, plot.from(event(middle)));
      apart = gap;
    } else if (start) {
      const [dx, dy] = here.map((v, d) => v - start.at[d]);
      if (!start.moved && Math.hypot(dx, dy) < SLIP) return;
      if (!start.moved && start.i !== null) drag(start.i, start.touch);
      start.moved = true;
      if (start.i !== null) by([dx / plot.scaleX, dy / plot.scaleY]);
      else if (zoomed()) pan(here.map((v, d) => (last[d] - v) / (d ? plot.scaleY : plot.scaleX)));
    }
  });
  const end = e => {
    if (!fingers.delete(e.pointerId) || !start) return;
    if (start.moved && start.i !== null) done();
    else if (!start.moved && e.type === "pointerup") tap(plot.from(event(start.at)), near(plot.from(event(start.at)), ON));
    start = null;
  };
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, end);
  // One finger on a point, or on a picture that is enlarged, is the picture's; else it scrolls the page.
  on("touchstart", e => {
    if (!e.cancelable) return;
    if (e.touches.length > 1 || zoomed() || near(plot.from(e.touches[0]), REACH) !== null) e.preventDefault();
  }, { passive: false });
  on("wheel", e => { // a page is scrolled over the picture, until somebody works in it
    if (!e.ctrlKey && !plot.node.contains(document.activeElement)) return;
    if (e.deltaY > 0 && !zoomed() && !e.ctrlKey) return;
    e.preventDefault();
    zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.002)), plot.from(e));
  }, { passive: false });
}

// ----------------------------------------------------------------------------------------------------- the widget

const decode = async data => createImageBitmap(new Blob([data], { type: "image/jpeg" }));
const prepare = model => Promise.all(model.get("pictures").map(decode));

export default widget((ui, bitmaps) => {
  const alone = !ui.model.widget_manager, names = ui.get("names"), count = ui.get("files").length, history = new History();
  const view = { zoom: 1, at: null }, key = KEPT + ui.get("digest");
  let draft = null, origin = null, loupe = false, since = 0;
  if (alone) {
    try {
      const kept = remembered(localStorage.getItem(key), ui.get("labels"));
      if (kept) ui.model.set("labels", kept);
    } catch { /* a browser that keeps nothing for this page */ }
  }
  const index = () => ui.get("index"), landmark = () => ui.get("landmark"), face = () => draft ?? ui.get("labels")[index()];
  const frame = () => framed(ui.get("views")[index()], view);

  // ---- changes
  const put = (at, now, rest = {}) => {
    since = Date.now();
    ui.set({ labels: ui.get("labels").with(at, now), edit: ui.get("edit") + 1, index: at, ...rest });
    if (alone) try { localStorage.setItem(key, JSON.stringify(ui.get("labels"))); } catch { /* likewise */ }
  };
  const change = (now, to = landmark(), keys) => {
    history.add({ index: index(), before: ui.get("labels")[index()], after: now, landmark: landmark(), keys });
    put(index(), now, { landmark: to });
  };
  const again = step => {
    if (!step) return;
    if (step.index !== index()) look();
    put(step.index, step.face, { landmark: step.landmark });
  };
  const set = (label, then = true) => {
    const now = face().with(landmark(), label);
    change(now, then ? next(now, landmark()) : landmark());
  };
  const inside = point => {
    const [x, y, w, hh] = ui.get("views")[index()];
    return [clamp(point[0], x - 0.5, x + w - 0.5), clamp(point[1], y - 0.5, y + hh - 0.5)].map(v => Math.round(100 * v) / 100);
  };
  const go = by => {
    const to = clamp(index() + by, 0, count - 1);
    if (to !== index()) { look(); ui.set({ index: to, landmark: next(ui.get("labels")[to], names.length - 1) }); }
  };
  const choose = by => ui.set({ landmark: (landmark() + by + names.length) % names.length });
  const guessed = () => ui.get("guesses")[index()];
  const guess = () => {
    if (guessed() && face().includes(null)) change(face().map((label, i) => label ?? (label === null ? guessed()[i] : label)));
  };

  // ---- what is shown
  const look = (zoom = 1, at = null) => { Object.assign(view, { zoom: clamp(zoom, 1, MOST), at }); ui.changed(); };
  const middle = () => { const [x, y, side] = frame(); return [x + side / 2, y + side / 2]; };
  /** Zooms such that `fixed` stays where it is. */
  const zoom = (factor, fixed = placed(face()[landmark()]) ? face()[landmark()] : middle()) => {
    const to = clamp(view.zoom * factor, 1, MOST), k = view.zoom / to;
    look(to, middle().map((m, d) => fixed[d] + k * (m - fixed[d])));
  };
  const plot = ui.plot({ x: [0, 1], y: [1, 0], pad: 0, label: "The picture and the points placed on it" }, p => paint(p, {
    bitmap: bitmaps[index()], view: ui.get("views")[index()], box: ui.get("boxes")[index()], face: face(), landmark: landmark(),
    loupe: loupe && draft ? draft[landmark()] : null,
  }));
  const aim = () => { const [x, y, side] = frame(); Object.assign(plot, { xs: [x, x + side], ys: [y + side, y] }); };
  const draw = plot.draw.bind(plot), step = [1, 1];
  plot.draw = () => { aim(); draw(); step.fill(1 / plot.scaleX); };
  aim();
  const near = (point, reach) => {
    const far = face().map(label => (placed(label) ? plot.apart(label, point) : Infinity)), least = Math.min(...far);
    return least <= reach ? far.indexOf(least) : null;
  };
  const where = () => (placed(face()[landmark()]) ? face()[landmark()] : guessed()?.[landmark()] ?? middle());
  const state = () => { const label = face()[landmark()]; return label === null ? "to do" : placed(label) ? "placed" : "not visible"; };
  const handle = ui.handle(plot, {
    label: () => names[landmark()],
    text: () => (state() === "placed" ? where().map((v, d) => `${"xy"[d]} ${v.toFixed(1)}`).join(", ") : state()),
    now: () => where()[0], at: where, step, coarse: 10, bounds: [0, Math.max(...ui.get("sizes").flat())],
    to: point => change(face().with(landmark(), inside(point)), landmark(), landmark()),
    keys: { PageDown: () => choose(1), PageUp: () => choose(-1), Delete: () => set([]), Backspace: () => set([]),
      Enter: () => (state() === "to do" ? set(inside(where())) : ui.set({ landmark: next(face(), landmark()) })) },
  });
  ui.keep(null, () => handle.classList.toggle("sw-open", state() !== "placed"));
  gestures(ui, plot, {
    near, zoom, zoomed: () => view.zoom > 1,
    pan: move => look(view.zoom, middle().map((m, d) => m + move[d])),
    tap: (point, on) => {
      handle.focus({ preventScroll: true });
      if (on !== null) ui.set({ landmark: on });
      else if (state() !== "placed") set(inside(point));
    },
    drag: (i, touch) => { [draft, loupe] = [face(), touch]; origin = draft[i]; ui.set({ landmark: i }); handle.focus({ preventScroll: true }); },
    by: move => { draft = draft.with(landmark(), inside(origin.map((v, d) => v + move[d]))); ui.changed(); },
    done: () => { const now = draft; draft = null; change(now); },
  });

  // ---- words and buttons
  const all = () => ui.get("labels").flat(), done = face => face.every(label => label !== null);
  const asked = () => {
    const name = names[landmark()];
    if (state() === "to do") return `Click on: ${name}`;
    if (done(face())) return `All decided here. Correct a point${index() < count - 1 ? ", or go to the next picture" : ""}.`;
    return state() === "placed" ? `${name}: drag it, or move it by the arrow keys` : `${name}: not visible; click to place it after all`;
  };
  const far = () => `Picture ${index() + 1} of ${count}, point ${landmark() + 1} of ${names.length}. Decided: ` +
    `${all().filter(label => label !== null).length} of ${all().length} points, ${ui.get("labels").filter(done).length} of ${count} pictures.`;
  const kept = () => {
    if (ui.get("trouble")) return [`Not saved: ${ui.get("trouble")}`, true];
    if (alone) return ["No kernel runs behind this page: your browser keeps the points. Download them as a file.", false];
    if (ui.get("edit") !== ui.get("saved")) {
      const late = Date.now() - since > 3000;
      return [late ? "Not saved yet: the kernel is busy or gone. Download the file to be safe." : "Saving…", late];
    }
    return [ui.get("file") ? `Saved in ${ui.get("file")}.` : "Kept in the kernel's memory: it was given no file=.", false];
  };
  const clock = alone ? 0 : setInterval(ui.refresh, 2000); // a kernel that is gone says nothing
  ui.signal.addEventListener("abort", () => clearInterval(clock));
  const download = () => {
    const state = Object.fromEntries(["names", "files", "sizes", "boxes", "labels"].map(name => [name, ui.get(name)]));
    const url = URL.createObjectURL(new Blob([JSON.stringify(coco(state))], { type: "application/json" }));
    h("a", { href: url, download: ui.get("file") || "labels.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const able = (words, press, can) => { const node = ui.button(words, press); return ui.keep(node, () => { node.disabled = !can(); }); };
  const say = (node, words) => ui.keep(node, () => { if (node.textContent !== words()) node.textContent = words(); });
  const bar = ui.keep(h("progress", { "aria-label": "points decided" }), () => {
    Object.assign(bar, { max: all().length, value: all().filter(label => label !== null).length });
  });
  const trouble = ui.keep(hint(""), () => { const [words, bad] = kept(); trouble.textContent = words; trouble.classList.toggle("sw-trouble", bad); });
  const keys = { n: () => go(1), p: () => go(-1), x: () => set([]), g: guess,
    "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: () => look() };
  const root = h("div", { class: "sw-label", "data-lm-suppress-shortcuts": "true" },
    h("div", {}, say(h("h4", { "aria-live": "polite" }), asked), plot.node),
    h("div", {},
      h("div", { class: "sw-bar" },
        able("Not visible", () => set([]), () => state() !== "not visible"),
        able("Undo", () => again(history.back()), () => history.past.length),
        able("Redo", () => again(history.forth()), () => history.future.length),
        ui.get("guesses").length ? able("Start from the guess", guess, () => face().includes(null)) : "",
        able("Clear", () => change(face().map(() => null), 0), () => face().some(label => label !== null))),
      h("div", { class: "sw-bar" },
        able("Previous picture", () => go(-1), () => index() > 0), able("Next picture", () => go(1), () => index() < count - 1)),
      h("div", { class: "sw-bar" },
        able("Zoom in", () => zoom(STEP), () => view.zoom < MOST), able("Zoom out", () => zoom(1 / STEP), () => view.zoom > 1)),
      ui.select({ name: "landmark", label: "point", groups: { points: names.map((name, i) => [i, `${i + 1}. ${name}`]) } }),
      say(h("p", { class: "sw-hint sw-count" }), far), bar, trouble,
      h("div", { class: "sw-bar" }, ui.button("Download the file", download)),
      hint("Keys, in the picture: arrows move the point (Shift: ten times as far), Enter next point, X not visible, N and P " +
        "next and previous picture, + and − zoom, 0 whole" + (ui.get("guesses").length ? ", G guess" : "") + ", Ctrl+Z undo.")));
  root.addEventListener("pointerdown", () => root.classList.remove("sw-keyed"), { signal: ui.signal });
  root.addEventListener("keydown", e => {
    root.classList.add("sw-keyed"); // shows where a point that is to do would come to lie
    const strong = e.ctrlKey || e.metaKey, letter = e.key.toLowerCase();
    const act = strong ? { z: () => again(e.shiftKey ? history.forth() : history.back()), y: () => again(history.forth()) }[letter] : keys[letter];
    if (act && !e.altKey && e.target.tagName !== "SELECT") { act(); ui.refresh(); e.preventDefault(); }
    if (act || !strong || e.key === "Control") e.stopPropagation(); // neither the page's keys nor the notebook's
  }, { signal: ui.signal });
  return [root, ui.status(() => `${asked()} ${far()}`)];
}, prepare);
