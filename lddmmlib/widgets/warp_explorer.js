// A picture warped by points that are dragged: the result, and the place in the picture where each pixel's colour is.
import { evaluate, field, fit, read } from "./polyharmonic.js";
import { clamp, decimal, h, hint, part, range, row, table, way, widget } from "./shared.js";

const STATE = ["size", "source", "target", "order", "smoothing", "pinned"];
const MOVED = ["target", "order", "smoothing", "pinned", "grid", "selected"];
const ORDERS = { 1: "1: r", 2: "2: r² log r", 3: "3: r³" };
const LINES = 8, LEAST = 1; // px between the lines of the grid; and between two targets, at least
const TENS = -4; // of the smoothing: this power of ten, the slider's left end, stands for none

const corners = size => [[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]];
const apart = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
/** The move u, v of each pixel of the result to its place in the picture, the map's determinant, and what is said. */
export function mapped({ size, source, target, order, smoothing, pinned }) {
  const [from, to] = [source, target].map(points => (pinned ? [...points, ...corners(size)] : points));
  const spline = fit(to, from.map((p, i) => [p[0] - to[i][0], p[1] - to[i][1]]), order, smoothing);
  const { u, v, det } = field(spline, size);
  const ends = evaluate(spline, to).map((move, i) => [to[i][0] + move[0], to[i][1] + move[1]]);
  return {
    u, v, det,
    energy: Math.max(0, spline.energy),
    most: Math.sqrt(u.reduce((most, x, i) => Math.max(most, x * x + v[i] * v[i]), 0)),
    missed: Math.max(...ends.map((p, i) => apart(p, from[i]))),
    folded: det.reduce((count, d) => count + (d <= 0), 0) / size ** 2,
  };
}
const bytes = image => (ArrayBuffer.isView(image) ? new Uint8Array(image.buffer, image.byteOffset, image.byteLength) : image);
/** Red, green, blue, opaque of each pixel of the result. */
export const warped = (state, map = mapped(state)) => read(bytes(state.image), map, state.size);
/** Whether all of these points keep off one another. */
export const distinct = points => points.every((p, i) => points.slice(0, i).every(q => apart(p, q) >= LEAST));

// ------------------------------------------------------------------------------------------------- the pictures

/** A canvas that holds a picture and is drawn anew only where that has changed. */
function sheet(size) {
  const canvas = h("canvas", { width: size, height: size }), g = canvas.getContext("2d");
  return rgba => {
    g.putImageData(new ImageData(Uint8ClampedArray.from(rgba), size, size), 0, 0);
    return canvas;
  };
}
function paintGrid(plot, size, place) {
  const every = [...range(Math.ceil((size - 1) / LINES)).map(k => k * LINES), size - 1], along = range(size);
  const lines = every.flatMap(k => [along.map(i => place(k, i)), along.map(i => place(i, k))]);
  for (const line of lines) plot.line(line, { colour: "#000", width: 2, alpha: 0.15 });
  for (const line of lines) plot.line(line, { colour: "#fff", width: 0.9, alpha: 0.7 });
}
/** What folds: runs of pixels in a row, each run of the result a strip at place(row, column). */
function paintFolds(plot, { det }, size, place) {
  const { g } = plot;
  g.beginPath();
  for (const i of range(size)) {
    for (let j = 0; j < size; j++) {
      if (det[i * size + j] > 0) continue;
      const [x, y] = plot.at(place(i, j).map(v => v - 0.5)), wide = Math.ceil(Math.abs(plot.scaleX));
      g.rect(x, y, wide, wide);
    }
  }
  Object.assign(g, { fillStyle: plot.colour.purple, globalAlpha: 0.8 });
  g.fill();
  g.globalAlpha = 1;
}
function paint(plot, { size, map, grid, source, target }, picture, place, marks) {
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([size - 0.5, size - 0.5]);
  const { orange, ink, paper } = plot.colour;
  plot.g.drawImage(picture, left, top, right - left, bottom - top);
  plot.within(() => {
    if (map.folded) paintFolds(plot, map, size, place);
    if (grid) paintGrid(plot, size, place);
    source.forEach((p, i) => plot.line([p, target[i]], { colour: paper, width: 4 }));
    source.forEach((p, i) => plot.line([p, target[i]], { colour: ink, width: 1.6 }));
  });
  plot.dots(marks, { colour: orange, radius: 4, edge: paper });
}

// --------------------------------------------------------------------------------------------------- the widget

function resultPlot(ui, now) {
  const size = ui.get("size"), [low, high] = [-0.5, size - 0.5], names = ui.get("names"), n = names.length;
  const label = "The warped picture, with the points that warp it", sheetOf = sheet(size);
  const drawn = ui.memo(() => sheetOf(warped({ ...now(), image: ui.get("image") }, now().map)));
  const plot = ui.plot({ x: [low, high], y: [high, low], label, pad: 0 },
    p => paint(p, now(), drawn(), (i, j) => [j, i], now().target));
  const chosen = () => ui.get("selected"), at = () => ui.get("target")[chosen()];
  const choose = by => () => ui.set({ selected: (chosen() + by + n) % n });
  const move = to => {
    const inside = to.map(v => Math.round(100 * clamp(v, 1, size - 2)) / 100);
    const target = ui.get("target").with(chosen(), inside);
    if (distinct(target)) ui.set({ target }); // two points at one place say nothing, or contradict each other
  };
  ui.handle(plot, {
    label: () => names[chosen()],
    text: () => way(at().map((v, k) => v - ui.get("source")[chosen()][k])),
    at, to: move, step: [1, 1],
    keys: { PageDown: choose(1), PageUp: choose(-1), Home: () => move(ui.get("source")[chosen()]) },
    near: point => plot.nearest(point, ui.get("target")),
    select: i => ui.set({ selected: i }),
    look: "mark",
  });
  return plot;
}
function originPlot(ui, now) {
  const size = ui.get("size"), [low, high] = [-0.5, size - 0.5], label = "The picture, and where the result reads it";
  const still = { u: new Float64Array(size ** 2), v: new Float64Array(size ** 2) };
  const picture = sheet(size)(read(bytes(ui.get("image")), still, size));
  const place = (i, j) => [j + now().map.u[i * size + j], i + now().map.v[i * size + j]];
  return ui.plot({ x: [low, high], y: [high, low], label, pad: 0 }, p => paint(p, now(), picture, place, now().source));
}
const SAID = [["bending energy E (px²)", m => decimal(m.energy)], ["largest move of a pixel (px)", m => decimal(m.most)],
  ["farthest point off its aim (px)", m => decimal(m.missed)], ["folded pixels (%)", m => decimal(100 * m.folded)]];
function numbers(ui, now) {
  const cells = SAID.map(() => h("td"));
  return ui.keep(table(["the map", ""], SAID.map(([words], i) => row(words, [cells[i]]))), () => {
    SAID.forEach(([, value], i) => { cells[i].textContent = value(now().map); });
  });
}
const told = ({ map, order }) => `Order ${order}: ` + SAID.map(([words, value]) => `${words} ${value(map)}`).join(", ") + ".";

function controls(ui) {
  const order = part(ui, () => String(ui.get("order")), v => ({ order: Number(v) }));
  const tens = part(ui, () => Math.max(TENS, Math.log10(ui.get("smoothing"))),
    v => ({ smoothing: v <= TENS ? 0 : Number((10 ** v).toPrecision(2)) }));
  const either = (name, label, yes, no) =>
    part(ui, () => (ui.get(name) ? "yes" : "no"), v => ({ [name]: v === "yes" })).choice({ name, label, options: { yes, no } });
  return [[
    order.choice({ name: "order", label: "order, φ(r)", options: ORDERS }),
    tens.slider({ name: "smoothing", label: "smoothing λ", min: TENS, max: 1, step: 0.25,
      text: () => (ui.get("smoothing") === 0 ? "none" : String(ui.get("smoothing"))) }),
  ], [
    either("pinned", "corners of the picture", "pinned", "free"),
    either("grid", "grid", "shown", "hidden"),
  ]];
}
export default widget(ui => {
  let last;
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), map = mapped(state);
    if (Number.isFinite(map.energy + map.most)) last = map; // else the points lie on a line: what was, stays
    return { ...state, grid: ui.get("grid"), map: last };
  });
  const { source } = now(), further = () => {
    const bound = v => clamp(v, 1, ui.get("size") - 2);
    const target = ui.get("target").map((p, i) => p.map((v, k) => bound(source[i][k] + 1.25 * (v - source[i][k]))));
    if (distinct(target)) ui.set({ target });
  };
  const [spline, look] = controls(ui);
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, resultPlot(ui, now).node,
        hint("The result. Drag a point. Keys move the ringed one: arrows (Shift: by 5 px), Home (back to where it was), " +
          "Page Up and Page Down (the next point). Purple: folded."),
        ...spline),
      h("div", {}, originPlot(ui, now).node,
        hint("The picture, and the result's grid where it reads its colours."), numbers(ui, now), ...look,
        h("div", { class: "sw-bar" }, ui.button("No warp", () => ui.set({ target: source.map(p => [...p]) })),
          ui.button("Further × 1.25", further), ui.reset(...MOVED)))),
    ui.status(() => told(now())),
  ];
});
