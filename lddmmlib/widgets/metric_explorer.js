// What each measure of error sees: one face whose landmarks move, and a test set to which it belongs.
import { auc, box, centroid, distance, errors, failureRate, lengths, nme, nmeCurve } from "./metrics.js";
import { clamp, decimal, h, hint, mean, percent, range, REACH, row, table, way, widget } from "./shared.js";

/** A flat face turned away by so many degrees: foreshortened about its middle. */
export function turned(points, degrees) {
  const middle = mean(points.map(p => p[0])), c = Math.cos(degrees * Math.PI / 180);
  return points.map(([x, y]) => [middle + c * (x - middle), y]);
}
/** The landmarks of one chain moved along it by so many landmarks; at its ends they stop. */
export function slid(points, chain, steps) {
  const out = points.map(p => [...p]);
  chain.forEach((landmark, k) => {
    const t = clamp(k + steps, 0, chain.length - 1), i = Math.min(Math.floor(t), chain.length - 2), s = t - i;
    out[landmark] = [0, 1].map(d => (1 - s) * points[chain[i]][d] + s * points[chain[i + 1]][d]);
  });
  return out;
}
/** n errors with mean `total`, of which landmark `bad` has `share` and all of them divide the rest equally. */
export const spread = (total, share, n, bad) => range(n).map(l => total * (1 - share + (l === bad ? share * n : 0)));

/** The truth and the prediction of the one face, in pixels. */
export function oneFace({ face, scheme, turn, slide, offsets }) {
  const truth = turned(face, turn);
  const pred = slid(truth, scheme.jaw, slide).map(([x, y], i) => [x + offsets[i][0], y + offsets[i][1]]);
  return { truth, pred };
}
/** The errors (images x landmarks) of the test set: images at several head turns, then the one face itself. */
export function testSet(state) {
  const { face, scheme, turns, pixels, share, normaliser } = state, { truth, pred } = oneFace(state), n = face.length;
  const length = points => lengths(points, scheme)[normaliser];
  const others = pixels.map((px, i) => spread(px / length(turned(face, turns[i])), share, n, (7 * i) % n));
  return [...others, errors(pred, truth, length(truth))];
}

const NORMALISERS = {
  corners: "eye corners", pupils: "pupils", box: "box, √(w h)", diagonal: "box, diagonal", face: "face size, (w + h)/2",
};
const MOVED = ["turn", "slide", "offsets", "selected", "normaliser", "pixels", "image", "share", "threshold"];
const STATE = ["face", "scheme", "turns", ...MOVED];
const TOP = 0.2; // both plots of the test set end at 20 %

/** What the panels show, worked out once for each change of the state. */
function measured(ui) {
  const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), { truth, pred } = oneFace(state);
  const by = lengths(truth, state.scheme), length = by[state.normaliser], set = testSet(state);
  const { parts } = state.scheme, own = errors(pred, truth, length), images = set.map(mean), t = state.threshold;
  const part = Object.fromEntries(Object.entries(parts).map(([name, of]) => [name, mean(of.map(i => own[i]))]));
  return {
    ...state, truth, pred, by, set, images,
    nme: { ...part, value: mean(own) },
    curve: nmeCurve(pred, truth, state.scheme.outlines, length),
    rates: { nme: mean(images), auc: auc(images, t), image: failureRate(images, t), landmark: failureRate(set, t) },
  };
}

// ------------------------------------------------------------------------------------------------ one face

/** What the chosen normaliser measures, as a line or a box around the truth. */
function ruler({ normaliser, truth, scheme }) {
  const [[left, right], [top, bottom]] = box(truth);
  const frame = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
  return {
    corners: scheme.corners.map(i => truth[i]),
    pupils: scheme.pupils.map(eye => centroid(eye.map(i => truth[i]))),
    box: frame,
    diagonal: [...frame, [right, bottom]],
    face: frame,
  }[normaliser];
}
function paintFace(plot, now) {
  const { blue, orange, muted } = plot.colour;
  plot.line(ruler(now), { colour: muted, width: 1.5, dash: [5, 4] });
  for (const curve of now.scheme.curves) plot.line(curve.map(i => now.truth[i]), { colour: blue, width: 1.5 });
  now.pred.forEach((p, i) => plot.line([now.truth[i], p], { colour: orange, width: 1.5 }));
  plot.dots(now.truth, { colour: blue, radius: 2.2 });
  plot.dots(now.pred, { colour: orange, radius: 2.8, edge: plot.colour.paper });
  const score = `NME ${percent(now.nme.value, 2)} %   NME_curve ${percent(now.curve.value, 2)} %`;
  plot.text(score, [plot.xs[0], plot.ys[1]], { dy: 12, colour: plot.colour.ink, weight: 600 });
}
function facePlot(ui, now) {
  const sides = box(ui.get("face")), [x, y] = sides.map(([low, high]) => (low + high) / 2);
  const half = 0.6 * Math.max(...sides.map(([low, high]) => high - low));
  const frame = { x: [x - half, x + half], y: [y + half, y - half] };
  const n = ui.get("face").length, names = ui.get("scheme").names;
  const label = "The face: true landmarks in blue, predicted ones in orange";
  const plot = ui.plot({ ...frame, label }, p => paintFace(p, now()));
  const moved = ([u, v]) => {
    const { selected, pred, offsets } = now(), place = [clamp(u, ...frame.x), clamp(v, ...[...frame.y].reverse())];
    const offset = offsets[selected].map((d, k) => d + place[k] - pred[selected][k]);
    ui.set({ offsets: offsets.with(selected, offset) });
  };
  const choose = by => () => ui.set({ selected: (ui.get("selected") + by + n) % n });
  ui.handle(plot, {
    label: () => `landmark ${ui.get("selected")}, ${names[ui.get("selected")]}`,
    text: () => offTruth(now()),
    now: () => distance(now().pred[now().selected], now().truth[now().selected]),
    bounds: [0, 3 * half],
    at: () => now().pred[now().selected],
    to: moved,
    step: [1, 1],
    keys: { PageDown: choose(1), PageUp: choose(-1), Home: () => moved(now().truth[now().selected]) },
    near: point => plot.nearest(point, now().pred),
    select: i => ui.set({ selected: i }),
  });
  return plot;
}
function offTruth({ pred, truth, selected }) {
  const [dx, dy] = [0, 1].map(k => pred[selected][k] - truth[selected][k]);
  return `${decimal(Math.hypot(dx, dy))} px off: ${way([dx, dy])}`;
}
function normaliserTable(ui, now) {
  const radios = ui.radios("normaliser", NORMALISERS), names = Object.keys(NORMALISERS);
  const cells = names.map(() => [h("td"), h("td")]), rows = names.map((name, i) => row(radios[name], cells[i]));
  return ui.keep(table(["divide by", "length (px)", "NME (%)"], rows), () => {
    const { pred, truth, by, normaliser } = now();
    names.forEach((name, i) => {
      cells[i][0].textContent = decimal(by[name]);
      cells[i][1].textContent = percent(nme(pred, truth, by[name]), 2);
      rows[i].className = name === normaliser ? "sw-chosen" : "";
    });
  });
}
function partTable(ui, now) {
  const names = [...Object.keys(ui.get("scheme").parts), "value"], cells = names.map(() => [h("td"), h("td")]);
  const rows = names.map((name, i) => row(name === "value" ? "whole face" : name, cells[i]));
  return ui.keep(table(["part", "NME (%)", "NME_curve (%)"], rows.slice(0, -1), rows.slice(-1)), () => {
    names.forEach((name, i) => {
      cells[i][0].textContent = percent(now().nme[name], 2);
      cells[i][1].textContent = percent(now().curve[name], 2);
    });
  });
}
function landmarkList({ parts, names }) {
  return Object.fromEntries(Object.entries(parts).map(([part, of]) => [part, of.map(i => [i, `${i}  ${names[i]}`])]));
}

// ---------------------------------------------------------------------------------------------- a test set

/** One bar an image, by head turn, a gap, and the one face's own bar. */
const barX = (i, n) => (i < n - 1 ? i : i + 2.2);
function paintBars(plot, { images, threshold }) {
  const { ink, green, orange, surface } = plot.colour, n = images.length;
  images.forEach((e, i) => {
    const x = barX(i, n), top = 100 * Math.min(e, TOP), colour = i === n - 1 ? orange : green;
    const bar = [[x - 0.36, 0], [x - 0.36, top], [x + 0.36, top], [x + 0.36, 0]];
    plot.line(bar, { colour, width: 1.2, fill: e > threshold ? colour : surface });
  });
  plot.line([[-0.7, 100 * threshold], [n + 2.4, 100 * threshold]], { colour: ink, width: 1.5, dash: [5, 4] });
  plot.text("threshold", [n + 2.4, 100 * threshold], { dy: -5, align: "right", colour: ink });
}
function barPlot(ui, now) {
  const n = ui.get("pixels").length, turns = ui.get("turns");
  const half = Math.floor((n - 1) / 2), names = { [barX(n, n + 1)]: "face 1" };
  for (const i of [0, half]) names[i] = `${decimal(turns[i], 0)}°`;
  const below = `images, head turned up to ${decimal(turns.at(-1), 0)}°`;
  const axes = {
    x: { ticks: Object.keys(names).map(Number), names, grid: false, label: below },
    y: { ticks: [0, 5, 10, 15, 20], label: "NME of each image (%)" },
  };
  const label = "Bars: the error of each image of the test set";
  const plot = ui.plot({ x: [-0.7, n + 3.4], y: [0, 100 * TOP], ratio: 1.35, axes, label }, p => paintBars(p, now()));
  const moved = ([, y]) => {
    const { face, scheme, normaliser, pixels, image } = now();
    const length = lengths(turned(face, turns[image]), scheme)[normaliser];
    ui.set({ pixels: pixels.with(image, clamp(y / 100, 0, TOP) * length) });
  };
  const choose = by => () => ui.set({ image: (ui.get("image") + by + n) % n });
  ui.handle(plot, {
    label: () => `image ${ui.get("image") + 1}, head turned ${decimal(turns[ui.get("image")], 0)}°`,
    text: () => `NME ${percent(now().images[ui.get("image")])} %`,
    now: () => 100 * now().images[ui.get("image")],
    bounds: [0, 100 * TOP],
    at: () => [ui.get("image"), 100 * Math.min(TOP, now().images[ui.get("image")])],
    to: moved,
    step: [0, 0.5],
    keys: { ArrowRight: choose(1), ArrowLeft: choose(-1) },
    near: ([x, y], p) => {
      const i = Math.round(x), top = 100 * now().images[i]; // anywhere on the bar, or just above it
      return i >= 0 && i < n && y >= 0 && (y < top || p.apart([x, y], [x, top]) < REACH) ? i : null;
    },
    select: i => ui.set({ image: i }),
    look: "knob",
  });
  return plot;
}
/** The CED as the stairs that it is: up by 1/N at each error. */
export function stairs(values) {
  const sorted = values.filter(e => e <= TOP).sort((a, b) => a - b);
  const level = k => 100 * k / values.length;
  const steps = sorted.flatMap((e, k) => [[100 * e, level(k)], [100 * e, level(k + 1)]]);
  return [[0, 0], ...steps, [100 * TOP, level(sorted.length)]];
}
function paintCed(plot, { images, set, threshold }, kept) {
  const { ink, green, purple } = plot.colour, t = 100 * threshold, image = stairs(images);
  const before = image.filter(([x]) => x <= t);
  plot.line([...before, [t, before.at(-1)[1]], [t, 0]], { fill: green, alpha: 0.18 });
  if (kept) {
    plot.line(stairs(kept.set.flat()), { colour: purple, width: 1.5, dash: [2, 3] });
    plot.line(stairs(kept.images), { colour: green, width: 1.5, dash: [2, 3] });
  }
  plot.line(image, { colour: green, width: 5 });
  plot.line(stairs(set.flat()), { colour: purple, width: 2 });
  plot.line([[t, 0], [t, 100]], { colour: ink, width: 1.5, dash: [5, 4] });
  const beside = threshold > TOP / 2 ? { dx: -8, align: "right" } : { dx: 8 };
  plot.text(`threshold ${percent(threshold)} %`, [t, 0], { dy: -14, colour: ink, ...beside });
}
function cedPlot(ui, now, kept) {
  const axes = {
    x: { ticks: [0, 5, 10, 15, 20], label: "error (%)" },
    y: { ticks: [0, 25, 50, 75, 100], label: "CED: share with at most this error (%)" },
  };
  const label = "Cumulative error distributions of images and of landmarks, and the threshold";
  const plot = ui.plot({ x: [0, 100 * TOP], y: [0, 100], ratio: 1.35, axes, label }, p => paintCed(p, now(), kept()));
  ui.handle(plot, {
    label: () => "threshold",
    text: () => `${percent(ui.get("threshold"))} %`,
    at: () => [100 * ui.get("threshold"), 0],
    to: ([x]) => ui.set({ threshold: clamp(x / 100, 0.005, TOP) }),
    step: [0.5, 0],
    look: "knob",
  });
  return plot;
}
const RATES = { // name: [words, digits, what stands for it in the plot]
  nme: ["mean NME", 2, "sw-swatch"],
  auc: ["AUC up to the threshold", 1, "sw-swatch sw-area"],
  image: ["FR per image", 1, "sw-swatch sw-green"],
  landmark: ["FR per landmark", 1, "sw-swatch sw-purple"],
};
function rateTable(ui, now, kept) {
  const rates = Object.entries(RATES), cells = rates.map(() => [h("td"), h("td")]);
  const rows = rates.map(([, [words, , look]], i) => row(h("span", {}, h("span", { class: look }), words), cells[i]));
  return ui.keep(table(["of the whole set (%)", "now", "kept"], rows), () => rates.forEach(([name, [, digits]], i) => {
    cells[i][0].textContent = percent(now().rates[name], digits);
    cells[i][1].textContent = kept() ? percent(kept().rates[name], digits) : "–";
  }));
}

// ------------------------------------------------------------------------------------------------ together

function summary({ nme, curve, rates, threshold }) {
  const face = `Face: NME ${percent(nme.value)} %, NME_curve ${percent(curve.value)} %.`;
  const set = `Set: mean NME ${percent(rates.nme)} %, AUC ${percent(rates.auc)} %,`;
  const failed = `${percent(rates.image)} % of images and ${percent(rates.landmark)} % of landmarks`;
  return `${face} ${set} above ${percent(threshold)} %: ${failed}.`;
}
const HINTS = {
  face: "Blue: truth. Orange: prediction; drag any point. Keys move the selected one: arrows (Shift: by 5 px), Home " +
    "(onto the truth), Page Up and Page Down (the next point).",
  set: "Drag the bars and the threshold. A filled bar has failed; dotted lines show the set that you kept.",
};

export default widget(ui => {
  let saved = null;
  const now = ui.memo(() => measured(ui)), kept = () => saved;
  const keep = ui.button("Keep this set to compare", () => { saved = structuredClone(now()); });
  const reset = ui.reset(...MOVED);
  reset.addEventListener("click", () => { saved = null; });
  const degrees = v => `${decimal(v, 0)}°`, part = v => `${percent(v, 0)} %`;
  const steps = v => `${decimal(v)} landmark${Math.abs(v) === 1 ? "" : "s"}`;
  return [
    h("section", {},
      h("h4", {}, "1 · One face"),
      h("div", { class: "sw-pair" },
        h("div", {},
          facePlot(ui, now).node,
          ui.slider({ name: "turn", label: "turn the head by", min: 0, max: 60, step: 1, text: degrees }),
          ui.slider({ name: "slide", label: "slide the jaw's points by", min: -2, max: 2, step: 0.1, text: steps }),
          ui.select({ name: "selected", label: "selected point", groups: landmarkList(ui.get("scheme")) })),
        h("div", { class: "sw-stack" }, normaliserTable(ui, now), partTable(ui, now), hint(HINTS.face)))),
    h("section", {},
      h("h4", {}, "2 · A test set, face 1 among it"),
      h("div", { class: "sw-pair" },
        h("div", {},
          barPlot(ui, now).node,
          ui.slider({ name: "share", label: "part of each error on one landmark", min: 0, max: 1, step: .01, text: part }),
          hint(HINTS.set)),
        h("div", {}, cedPlot(ui, now, kept).node, rateTable(ui, now, kept))),
      h("div", { class: "sw-bar" }, keep, reset)),
    ui.status(() => summary(now())),
  ];
});
