// A photograph warped onto a stylised face whose landmarks a network predicts: its edges, the loss, and where that pushes.
import { network, run } from "./network.js";
import { field, fit, pulled, read } from "./polyharmonic.js";
import { clamp, decimal, h, hint, key, mean, part, percent, range, row, table, way, widget } from "./shared.js";

const LUMA = [0.299, 0.587, 0.114], FLAT = 1e-6; // as in methods.conditional_warp
const MOVED = ["photo", "face", "ends", "pulls", "selected"];
const GIVEN = ["side", "truth", "corners", "smoothing"];
const LONGEST = 6, LEAST = 0.2, STEP = 0.5; // px: of an arrow; between landmarks; of the farthest landmark in a step of descent
const ENDS = { labels: "its labels", predicted: "predicted" };
const bytes = data => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : Uint8Array.from(data));
const apart = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
const plus = (points, moves, k = 1) => points.map((p, i) => p.map((v, d) => v + k * moves[i][d]));

/** Of a face: red, green and blue in turn, 0 to 255, row by row. */
export const pictureOf = ({ images, side }, index) => bytes(images).subarray(3 * index * side ** 2, 3 * (index + 1) * side ** 2);
/** The landmarks [x, y] that the network predicts on a face. */
export function predicted(net, state, index) {
  const picture = pictureOf(state, index), n = state.side ** 2;
  const [{ data }] = run(net, Float32Array.from({ length: 3 * n }, (_, i) => picture[3 * (i % n) + Math.floor(i / n)] / 255));
  return range(data.length / 2).map(i => [data[2 * i], data[2 * i + 1]]);
}
/** Luminance, 0 to 1, of pixels of `stride` numbers, 0 to 255. */
export const gray = (picture, stride = 3) => Float64Array.from({ length: picture.length / stride },
  (_, i) => LUMA.reduce((sum, w, c) => sum + w * picture[stride * i + c], 0) / 255);
/** The slope x, y of a gray picture and its length m: `image_gradient`, Sobel. */
export function edges(picture, n) {
  const [x, y, m] = range(3).map(() => new Float64Array(n * n)), last = n - 1;
  for (let i = 0, at = 0; i < n; i++) {
    const rows = [Math.max(i - 1, 0) * n, i * n, Math.min(i + 1, last) * n];
    for (let j = 0; j < n; j++, at++) {
      const columns = [Math.max(j - 1, 0), j, Math.min(j + 1, last)], p = (r, c) => picture[rows[r] + columns[c]];
      x[at] = (p(0, 2) - p(0, 0) + 2 * (p(1, 2) - p(1, 0)) + p(2, 2) - p(2, 0)) / 8;
      y[at] = (p(2, 0) - p(0, 0) + 2 * (p(2, 1) - p(0, 1)) + p(2, 2) - p(0, 2)) / 8;
      m[at] = Math.sqrt(x[at] ** 2 + y[at] ** 2 + FLAT);
    }
  }
  return { x, y, m };
}
/** The derivative of the loss in each pixel of the warped picture, whose edges are `ours`. */
function sent({ x, y, m }, theirs, n) {
  const out = new Float64Array(n * n), last = n - 1;
  for (let i = 0, at = 0; i < n; i++) {
    const rows = [Math.max(i - 1, 0) * n, i * n, Math.min(i + 1, last) * n];
    for (let j = 0; j < n; j++, at++) {
      const columns = [Math.max(j - 1, 0), j, Math.min(j + 1, last)], k = (m[at] - theirs[at]) / (4 * n * n * m[at]);
      for (const r of [0, 1, 2]) {
        for (const c of [0, 1, 2]) {
          out[rows[r] + columns[c]] += k * (x[at] * (c - 1) * (r === 1 ? 2 : 1) + y[at] * (r - 1) * (c === 1 ? 2 : 1));
        }
      }
    }
  }
  return out;
}
/** The slope of a bilinear picture at the places that the moves u, v lead to; 0 where they lead out of it. */
function slopes(picture, { u, v }, n) {
  const [sx, sy] = [new Float64Array(n * n), new Float64Array(n * n)], last = n - 1;
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = 0; j < n; j++, at++) {
      const [p, q] = [j + u[at], i + v[at]], x = clamp(p, 0, last), y = clamp(q, 0, last), x0 = Math.floor(x), y0 = Math.floor(y);
      const right = +(x0 < last), below = n * (y0 < last), s = x - x0, t = y - y0, c = n * y0 + x0;
      const [a, b, d, e] = [picture[c], picture[c + right], picture[c + below], picture[c + below + right]];
      if (p === x) sx[at] = (1 - t) * (b - a) + t * (e - d);
      if (q === y) sy[at] = (1 - s) * (d - a) + s * (e - b);
    }
  }
  return [sx, sy];
}
/** The warp of `photo` (luminance) that shows at `target` what lies at `source`, its edges, the loss beside `theirs`, the
    edges of the other face, and -dloss/dtarget: where the loss pushes each landmark. `map` has the moves of the pixels. */
export function compared({ photo, theirs, source, target, side, smoothing }, push = true) {
  const spline = fit(target, plus(source, target, -1), 2, smoothing), map = field(spline, side);
  const colours = Float64Array.from({ length: 3 * photo.length }, (_, i) => photo[Math.floor(i / 3)]);
  const warped = read(colours, map, side).filter((_, i) => i % 4 === 0), ours = edges(warped, side);
  const loss = mean(ours.m.map((m, i) => (m - theirs[i]) ** 2));
  if (!push) return { map, ours, loss };
  const dark = sent(ours, theirs, side), [sx, sy] = slopes(photo, map, side);
  const moves = [sx, sy].map(s => s.map((v, i) => v * dark[i]));
  return { map, ours, loss, push: pulled(spline, moves, side, smoothing).map(p => p.map(v => -v)) };
}
/** How far two sets of moves have one direction: the cosine, or 0 where one of them is 0. */
export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, p, i) => sum + p[0] * y[i][0] + p[1] * y[i][1], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
}
/** Landmarks that go with the push, `steps` times, the farthest by STEP px. */
export function followed(given, steps) {
  let target = given.target;
  for (let k = 0; k < steps; k++) {
    const { push } = compared({ ...given, target }), most = Math.max(...push.map(p => Math.hypot(...p))) || 1;
    const next = plus(target, push, STEP / most).map(p => p.map(v => clamp(v, 0, given.side - 1)));
    if (next.some((p, i) => next.slice(0, i).some(q => apart(p, q) < LEAST / 4))) break;
    target = next;
  }
  return target;
}
/** The mean error in shares of the distance of the outer eye corners. */
export const error = (found, truth, [left, right]) => mean(found.map((p, i) => apart(p, truth[i]))) / apart(truth[left], truth[right]);
/** What is compared in a state: which faces, their landmarks, their grays and edges. */
export function chosen(state, net, looked = new Map()) {
  const { photo, face, styles, side, truth, ends, pulls } = state, photos = range(styles.length).filter(i => styles[i] === "photo");
  const others = range(styles.length).filter(i => styles[i] !== "photo"), [j, i] = [photos[photo], others[face]];
  for (const k of [j, i]) {
    if (!looked.has(k)) {
      const picture = pictureOf(state, k), light = gray(picture);
      looked.set(k, { picture, light, slopes: edges(light, side), found: predicted(net, state, k) });
    }
  }
  const [p, s] = [looked.get(j), looked.get(i)], labels = ends === "labels" ? truth[j] : p.found;
  return { ...state, photoAt: p, faceAt: s, photo: p.light, theirs: s.slopes.m, source: labels, target: plus(s.found, pulls),
    found: s.found, truth: truth[i], labels: truth[j] };
}
/** What the page says of a state; for the tests, too. */
export function answered(state, net = network(bytes(state.network)), looked) {
  const given = chosen(state, net, looked), { target, truth, found, corners } = given, made = compared(given), rest = plus(truth, target, -1);
  const at = points => compared({ ...given, target: points }, false).loss;
  return { ...given, ...made, cosine: cosine(made.push, rest), losses: [made.loss, at(found), at(truth)],
    errors: [target, found, truth].map(points => error(points, truth, corners)) };
}

// ------------------------------------------------------------------------------------------------- the pictures

/** A canvas with a picture of size n, whose pixel i is colour(i): three numbers, 0 to 255. */
function sheet(n, colour) {
  const canvas = h("canvas", { width: n, height: n }), rgba = new Uint8ClampedArray(4 * n * n).fill(255);
  for (let i = 0; i < n * n; i++) rgba.set(colour(i), 4 * i);
  canvas.getContext("2d").putImageData(new ImageData(rgba, n, n), 0, 0);
  return canvas;
}
const colours = (picture, stride) => i => picture.subarray(stride * i, stride * i + 3);
const lit = m => i => { const v = 255 * Math.min(1, 4 * m[i]); return [v, v, v]; }; // a slope of 1/4 a pixel is white
function image(plot, picture, side) {
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([side - 0.5, side - 0.5]);
  plot.g.imageSmoothingEnabled = true;
  plot.g.drawImage(picture, left, top, right - left, bottom - top);
}
const BLUE = "#7cc7ff", ORANGE = "#ff9a52"; // on a picture, whatever the theme
function paintFace(plot, { side, sheets, lines, truth, target, arrows, selected }) {
  image(plot, sheets.face, side);
  for (const line of lines) {
    plot.line(line.map(i => truth[i]), { colour: "#000", width: 2.4, alpha: 0.4 });
    plot.line(line.map(i => truth[i]), { colour: "#fff", width: 1.2, alpha: 0.9 });
  }
  for (const [colour, width, head] of [["#000", 3.6, 8], [ORANGE, 1.8, 6]]) {
    target.forEach((p, i) => plot.arrow(p, arrows[i], { colour, width, head, alpha: colour === "#000" ? 0.5 : 1 }));
  }
  plot.dots(target, { colour: BLUE, radius: 2.4, edge: "#00324f" });
  plot.dots([target[selected]], { colour: "#fff", radius: 4, edge: "#000" });
}
function paintPhoto(plot, picture, points, side) {
  image(plot, picture, side);
  plot.dots(points, { colour: BLUE, radius: 1.3, edge: "#00324f" });
}

// --------------------------------------------------------------------------------------------------- the widget

function words({ losses: [now, before, right], errors: [off], cosine: c }) {
  const than = (a, b) => (Math.abs(a / b - 1) < 0.005 ? "as high as" : a < b ? "lower than" : "higher than");
  const angle = decimal(Math.acos(clamp(c, -1, 1)) * 180 / Math.PI, 0);
  return `The loss is ${now === before ? "" : `${than(now, before)} at the prediction, and `}${than(now, right)} on the truth. ` +
    `Mean error ${percent(off)} %. ` +
    (off > 1e-4 ? `The arrows and the way to the truth are ${angle}° apart.` : "Every landmark is on the truth.");
}
function facePlot(ui, now) {
  const { side } = now(), low = -0.5, high = side - 0.5, n = now().found.length;
  const plot = ui.plot({ x: [low, high], y: [high, low], pad: 0,
    label: "The stylised face, its landmarks, and an arrow at each for the push of the loss" }, p => paintFace(p, now()));
  const at = () => now().target[now().selected], choose = by => () => ui.set({ selected: (now().selected + by + n) % n });
  const move = to => {
    const { target, found, selected } = now(), inside = to.map(v => clamp(v, 0, side - 1));
    if (target.some((p, i) => i !== selected && apart(p, inside) < LEAST)) return; // two at one place fold the sheet
    ui.set({ pulls: ui.get("pulls").with(selected, inside.map((v, d) => v - found[selected][d])) });
  };
  ui.handle(plot, {
    label: () => `landmark ${now().selected}`,
    text: () => `${way(ui.get("pulls")[now().selected])} of the prediction`,
    now: () => at()[0],
    at, to: move, step: [0.5, 0.5],
    keys: { PageDown: choose(1), PageUp: choose(-1),
      Home: () => ui.set({ pulls: ui.get("pulls").with(now().selected, [0, 0]) }) },
    near: point => plot.nearest(point, now().target),
    select: selected => ui.set({ selected }),
    look: "mark",
  });
  return plot;
}
function numbers(ui, now) {
  const cells = range(3).map(() => [h("td"), h("td")]), names = ["now", "as predicted", "on the truth"];
  const rows = names.map((name, i) => row(name, cells[i]));
  return ui.keep(table(["landmarks", "loss × 1000", "error (%)"], rows), () => {
    cells.forEach(([loss, off], i) => {
      loss.textContent = decimal(1000 * now().losses[i], 3);
      off.textContent = percent(now().errors[i]);
    });
  });
}
const index = (ui, name) =>
  part(ui, () => String(ui.get(name)), v => ({ [name]: Number(v), pulls: ui.get("pulls").map(() => [0, 0]) }));

export default widget(ui => {
  const net = network(bytes(ui.get("network"))), looked = new Map(), styles = ui.get("styles");
  const given = Object.fromEntries([...GIVEN, "images", "lines", "styles"].map(name => [name, ui.get(name)]));
  const now = ui.memo(() => {
    const state = { ...given, ...Object.fromEntries(MOVED.map(name => [name, ui.get(name)])) };
    const said = answered(state, net, looked), { side, push, target, map, photoAt, faceAt, ours } = said;
    const sizes = push.map(p => Math.hypot(...p)), most = [...sizes].sort((a, b) => a - b)[Math.floor(0.9 * sizes.length)] || 1;
    const arrows = plus(target, push.map((p, i) => p.map(v => v * LONGEST / Math.max(most, sizes[i]))));
    const warped = read(photoAt.picture, map, side);
    const sheets = { face: sheet(side, colours(faceAt.picture, 3)), photo: sheet(side, colours(photoAt.picture, 3)),
      warped: sheet(side, colours(warped, 4)), theirs: sheet(side, lit(faceAt.slopes.m)), ours: sheet(side, lit(ours.m)) };
    return { ...said, arrows, sheets };
  });
  const { side } = now(), box = { x: [-0.5, side - 0.5], y: [side - 0.5, -0.5], pad: 0 };
  const view = (title, label, paint) => h("div", {}, h("h4", {}, title), ui.plot({ ...box, label }, paint).node);
  const to = points => ui.set({ pulls: plus(points, now().found, -1) });
  const photos = styles.filter(style => style === "photo"), others = styles.filter(style => style !== "photo");
  const named = list => Object.fromEntries(list.map((name, i) => [i, name]));
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = words(now()); });
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, facePlot(ui, now).node,
        key([["sw-blue", "landmarks"], ["sw-orange", "where the loss pushes them"]]),
        hint("Drag a landmark. White lines: the truth, which the loss does not know. Keys move the ringed one: arrows " +
          "(Shift: five times as far), Home (as predicted), Page Up and Page Down (the next one)."),
        index(ui, "face").choice({ name: "face", label: "face", options: named(others) }),
        index(ui, "photo").choice({ name: "photo", label: "photograph", options: named(photos.map((_, i) => `${i + 1}`)) }),
        ui.choice({ name: "ends", label: "landmarks of the photograph", options: ENDS })),
      h("div", {},
        h("div", { class: "sw-onto" },
          view("photograph", "The photograph with its landmarks", p => paintPhoto(p, now().sheets.photo, now().source, side)),
          view("warped", "The photograph warped onto the landmarks of the face", p => paintPhoto(p, now().sheets.warped, now().target, side)),
          view("edges of the face", "The gradient image of the stylised face", p => image(p, now().sheets.theirs, side)),
          view("edges, warped", "The gradient image of the warped photograph", p => image(p, now().sheets.ours, side))),
        numbers(ui, now), said,
        h("div", { class: "sw-bar" },
          ui.button("Follow the arrows", () => to(followed(now(), 5))),
          ui.button("On the truth", () => to(now().truth)),
          ui.button("As predicted", () => to(now().found)), ui.reset(...MOVED)))),
    ui.status(() => words(now())),
  ];
});
