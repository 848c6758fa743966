// Two blobs of earth that the reader drags: the plan between them, the price of earth, and how the losses grow.
import { behindSoftmax, blob, heaviest, norm, sinkhorn, squares } from "./transport.js";
import { clamp, decimal, h, hint, key, part, range, row, table, widget } from "./shared.js";

const SIDE = 20, GRID = { w: SIDE, h: SIDE }, STATE = ["prediction", "truth", "sigma", "eps", "share", "shown"];
const SHOWN = { plan: "the plan", price: "the price φ, gradient of W", squares: "the gradient of L2" };
const DISTANCES = [0, 0.7, 1.4, 2.2, 3.2, 4.5, 6.5, 9, 14], FAR = DISTANCES.at(-1), HIGH = 30; // cells

/** u, a share of whose mass is at the prediction and the rest at the truth; v, the truth. */
export function maps({ prediction, truth, sigma, share }) {
  const v = blob(truth, sigma, SIDE), moved = blob(prediction, sigma, SIDE);
  return { u: v.map((x, i) => (1 - share) * x + share * moved[i]), v };
}
/** L2 in per cent of the most that it can be. */
const saturation = ({ u, v }) => 50 * squares(u, v) / squares(v, new Float64Array(v.length));
/** All that is said of a state. */
export function found(state) {
  const { u, v } = maps(state), entropic = sinkhorn(u, v, state.eps, GRID), { cost, value, steps, f: price } = entropic;
  const least = Math.min(...price), change = u.map((x, i) => 2 * (x - v[i]));
  const d = Math.hypot(...state.prediction.map((x, k) => x - state.truth[k]));
  return { u, v, entropic, price: price.map(x => x - least), change, d, l2: saturation({ u, v }),
    w1: state.share * d, cost, value, steps,
    push: { l2: norm(behindSoftmax(u, change)), w: norm(behindSoftmax(u, price)) } };
}
/** The losses over the distance, [d, loss] each, along a row through the middle; L2 on the scale of the others. */
export function curves({ sigma, eps, share }) {
  const middle = (SIDE - 1) / 2, ends = d => [1, -1].map(s => [middle + s * d / 2, middle]);
  const state = d => ({ prediction: ends(d)[0], truth: ends(d)[1], sigma, eps, share });
  const entropic = DISTANCES.map(d => [d, found(state(d))]), even = range(71).map(k => k * FAR / 70);
  const line = name => entropic.map(([d, all]) => [d, all[name]]);
  return { l2: even.map(d => [d, saturation(maps(state(d))) * FAR / 100]), w1: line("w1"), cost: line("cost"),
    value: line("value") };
}

// ------------------------------------------------------------------------------------------------- the pictures

const place = i => [i % SIDE, Math.floor(i / SIDE)];
const square = ([x, y]) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [x + a / 2, y + b / 2]);
const ring = ([x, y], r) => range(49).map(k => 2 * Math.PI * k / 48).map(t => [x + r * Math.cos(t), y + r * Math.sin(t)]);
function paintCells(plot, values, most, [above, below]) {
  values.forEach((v, i) => {
    const alpha = 0.9 * clamp(Math.abs(v) / most, 0, 1);
    if (alpha > 0.004) plot.line(square(place(i)), { fill: v < 0 ? below : above, alpha, close: true });
  });
}
/** The heaviest lines of the plan. */
export function planned(state) {
  const { u, v, entropic } = found(state);
  return heaviest(u, v, entropic, state.eps, GRID, 1e-4, 300);
}
function paintPlan(plot, { u, v, entropic, eps }) {
  const { orange, green, ink } = plot.colour, most = Math.max(...v);
  paintCells(plot, u, most, [orange]);
  paintCells(plot, v, most, [green]);
  const pairs = heaviest(u, v, entropic, eps, GRID, 1e-4, 300), heavy = pairs[0]?.[2];
  for (const [i, j, mass] of pairs) {
    plot.line([place(i), place(j)], { colour: ink, width: 0.8 + 2.5 * mass / heavy, alpha: 0.75 * mass / heavy });
  }
}
/** Downhill arrows: where earth is wanted. `long` cells for a slope of `steep`. */
function paintSlope(plot, phi, steep, long) {
  const at = (x, y) => phi[y * SIDE + x];
  for (let y = 1; y < SIDE - 1; y += 2) {
    for (let x = 1; x < SIDE - 1; x += 2) {
      const slope = [at(x + 1, y) - at(x - 1, y), at(x, y + 1) - at(x, y - 1)].map(s => s / 2);
      const by = Math.min(1, Math.hypot(...slope) / steep) * long / (Math.hypot(...slope) || 1);
      plot.arrow([x + slope[0] * by / 2, y + slope[1] * by / 2], [x - slope[0] * by / 2, y - slope[1] * by / 2],
        { colour: plot.colour.ink, width: 1.3, head: 5 });
    }
  }
}
function paint(plot, now) {
  const { blue, orange, green, purple, line } = plot.colour, { shown, sigma } = now, most = 2 * Math.max(...now.v);
  plot.within(() => {
    for (const k of range(SIDE + 1).map(i => i - 0.5)) {
      for (const ends of [[[k, -0.5], [k, SIDE]], [[-0.5, k], [SIDE, k]]]) plot.line(ends, { colour: line, width: 0.6 });
    }
    if (shown === "plan") paintPlan(plot, now);
    else {
      const price = shown === "price", phi = price ? now.price : now.change;
      paintCells(plot, phi, price ? HIGH : most, [price ? purple : orange, blue]);
      paintSlope(plot, phi, price ? 1 : most / 6, 1.3);
    }
    plot.line(ring(now.truth, 2 * sigma), { colour: green, width: 2 });
    plot.line(ring(now.prediction, 2 * sigma), { colour: orange, width: 2 });
  });
}
const LINES = [["l2", "orange", [], "L2 (its most is the top)"], ["w1", "ink", [6, 4], "W1 = share × distance"],
  ["cost", "blue", [], "cost of the blurred plan"], ["value", "purple", [2, 3], "value, with the penalty"]];
const scaled = (name, now) => (name === "l2" ? now.l2 * FAR / 100 : now[name]);
function paintCurves(plot, now) {
  plot.within(() => LINES.forEach(([name, colour, dash]) => {
    plot.line(now.curves[name], { colour: plot.colour[colour], dash, width: 2.2 });
  }));
  LINES.forEach(([name, colour]) => plot.dots([[Math.min(now.d, FAR), Math.min(scaled(name, now), FAR)]],
    { colour: plot.colour[colour], radius: 4.5, edge: plot.colour.paper }));
}

// --------------------------------------------------------------------------------------------------- the widget

function mapPlot(ui, now) {
  const [low, high] = [-0.5, SIDE - 0.5], label = "Two blobs, the plan between them, or a gradient with arrows downhill";
  const plot = ui.plot({ x: [low, high], y: [high, low], label, pad: 0 }, p => paint(p, now()));
  for (const [name, look] of [["truth", "truth"], ["prediction", "ring"]]) {
    ui.handle(plot, {
      label: () => name,
      text: () => ui.get(name).map((v, k) => `${"xy"[k]} ${decimal(v)}`).join(", "),
      at: () => ui.get(name),
      to: at => ui.set({ [name]: at.map(v => Math.round(10 * clamp(v, 0, SIDE - 1)) / 10) }),
      step: [0.5, 0.5],
      coarse: 4,
      look,
    });
  }
  return plot;
}
function curvePlot(ui, now) {
  const ticks = [0, 5, 10], axes = { x: { ticks, label: "distance (cells)" }, y: { ticks, label: "loss (cells)" } };
  const label = "The losses over the distance of the two blobs";
  return ui.plot({ x: [0, FAR], y: [0, FAR], ratio: 1.45, axes, label }, p => paintCurves(p, now()));
}
function numbers(ui, now) {
  const names = ["L2 (% of its most)", "W1 (cells)", "cost (cells)", "value (cells)", "gradient of L2 at the logits (1/1000)",
    "gradient of W at the logits (cells)"];
  const cells = names.map(() => [h("td")]);
  return ui.keep(table(["", "now"], names.map((name, i) => row(name, cells[i]))), () => {
    const { l2, w1, cost, value, push } = now();
    [[l2, 1], [w1, 2], [cost, 2], [value, 2], [1000 * push.l2, 2], [push.w, 3]]
      .forEach(([v, digits], i) => { cells[i][0].textContent = decimal(v, digits); });
  });
}
const told = now => `${decimal(now.d)} cells apart: L2 ${decimal(now.l2, 0)} % of its most, W1 ${decimal(now.w1)} cells, ` +
  `cost ${decimal(now.cost)} cells after ${now.steps} steps.`;

export default widget(ui => {
  let known = null; // the curves do not change while a blob is dragged
  const drawn = state => {
    const name = [state.sigma, state.eps, state.share].join();
    if (known?.name !== name) known = { name, curves: curves(state) };
    return known.curves;
  };
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { ...state, ...found(state), curves: drawn(state) };
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const powers = part(ui, () => Math.log2(ui.get("eps")), v => ({ eps: Number((2 ** v).toPrecision(2)) }));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, mapPlot(ui, now).node,
        hint("Drag the rings: orange the prediction, green the truth. Keys: arrows by half a cell (Shift: 2 cells). " +
          "Arrows on the map point to where each loss would have the earth."),
        ui.choice({ name: "shown", label: "shown", options: SHOWN })),
      h("div", {}, curvePlot(ui, now).node, key(LINES.map(([, colour, , words]) => [`sw-${colour}`, words])),
        powers.slider({ name: "eps", label: "ε", min: -1, max: 3, step: 0.25, text: () => `${decimal(ui.get("eps"), 2)} cells` }),
        ui.slider({ name: "share", label: "share of the prediction's mass that is there", min: 0.05, max: 1, step: 0.05,
          text: v => `${decimal(100 * v, 0)} %` }),
        ui.slider({ name: "sigma", label: "σ", min: 0.8, max: 2, step: 0.1, text: v => `${decimal(v)} cells` }),
        numbers(ui, now), said,
        h("div", { class: "sw-bar" }, ui.reset(...STATE)))),
    ui.status(() => told(now())),
  ];
});
