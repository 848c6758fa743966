// Momenta as arrows on landmarks, and the flow that they make: the plane as a grid, and how much each cell of it grows.
import { angularMomentum, cells, determinants, flow, hamiltonian, lattice, minSteps, totalMomentum } from "./lddmm.js";
import { clamp, decimal, h, hint, more, range, row, table, way, widget } from "./shared.js";

const NODES = 25; // of the grid along a side
const STATE = ["points", "momenta", "lines", "sigma", "model", "method", "steps", "time"];
const MOVED = ["momenta", "selected", "sigma", "model", "method", "steps", "time"];
const OTHER = { shoot: "flow", flow: "shoot" };
const MODELS = { shoot: "geodesic shooting", flow: "constant momenta" };
const METHODS = { euler: "Euler", rk2: "RK2", rk4: "RK4" };

/** The square that holds the points with room around them, and the grid that fills most of it. */
export function framed(points) {
  const sides = [0, 1].map(k => [Math.min(...points.map(p => p[k])), Math.max(...points.map(p => p[k]))]);
  const size = sides.map(([low, high]) => high - low), half = Math.max(...size) || 50;
  const around = share => sides.map(([low, high]) => [-1, 1].map(sign => (low + high) / 2 + sign * share * half));
  return { frame: around(1), grid: around(0.92), size: (size[0] + size[1]) / 2 || 50 };
}
/** The flow as far as `time`, the moved grid and its cells, and where the other model leads. */
export function flowed({ points, momenta, sigma, model, method, steps, time }) {
  const { grid } = framed(points), passengers = lattice(...grid, NODES, NODES), taken = Math.round(time * steps);
  const given = { x0: points, p0: momenta, sigma, steps, method, taken };
  const found = flow({ ...given, model, passengers }), other = flow({ ...given, model: OTHER[model] }).path.at(-1);
  const area = (grid[0][1] - grid[0][0]) * (grid[1][1] - grid[1][0]) / (NODES - 1) ** 2;
  const enough = minSteps({ x0: points, p0: momenta, sigma, method, model });
  const checked = withFolds(cells(found.passengers, NODES, area), passengers, { ...given, model });
  return { ...found, taken, other, enough, cells: checked };
}
/** A bent cell may be a fold, or a smooth map on a coarse grid: the determinant at its nodes tells. */
function withFolds(moved, nodes, given) {
  const doubtful = [...new Set(moved.filter(c => c.bent).flatMap(c => c.at))];
  const det = determinants(given, doubtful.map(i => nodes[i])), turned = new Set(doubtful.filter((_, k) => det[k] <= 0));
  return moved.map(c => ({ ...c, folded: c.bent && c.at.some(i => turned.has(i)) }));
}
/** What is said of it: at the start and now. */
export function measured({ path, momenta, other, cells }, sigma) {
  const ends = [0, path.length - 1], x = ends.map(k => path[k]), p = ends.map(k => momenta[k]);
  const apart = (a, b) => Math.max(...a.map(([u, v], i) => Math.hypot(u - b[i][0], v - b[i][1])));
  const middle = [0, 1].map(k => x[0].reduce((sum, at) => sum + at[k], 0) / x[0].length);
  const turned = k => angularMomentum(x[k].map(([u, v]) => [u - middle[0], v - middle[1]]), p[k]);
  const dets = cells.map(c => c.det);
  return {
    H: [0, 1].map(k => hamiltonian(x[k], p[k], sigma)),
    total: p.map(totalMomentum),
    angular: [0, 1].map(turned), // about the middle of the landmarks as they started
    moved: apart(...x),
    parted: apart(x[1], other),
    least: Math.min(...dets),
    most: Math.max(...dets),
    folded: cells.filter(c => c.folded).length,
  };
}

// -------------------------------------------------------------------------------------------------- the picture

const DEEPEST = 2, LEVELS = 16; // full colour at areas of 4 and 1/4, in 16 shades each way
/** Cells of one shade at a time, a path each; the folded ones over all. */
function paintCells(plot, cells) {
  const { g, colour: { blue, orange, purple, paper } } = plot, shades = new Map(), folded = new Path2D();
  for (const cell of cells) {
    const shade = Math.round(LEVELS * clamp(Math.log2(Math.max(cell.det, 1e-9)) / DEEPEST, -1, 1));
    if (!shades.has(shade)) shades.set(shade, new Path2D());
    const path = cell.folded ? folded : shades.get(shade);
    cell.corners.forEach((p, i) => { path[i ? "lineTo" : "moveTo"](...plot.at(p)); });
    path.closePath();
  }
  for (const [shade, path] of shades) {
    Object.assign(g, { fillStyle: shade < 0 ? blue : orange, globalAlpha: 0.8 * Math.abs(shade) / LEVELS });
    g.fill(path);
  }
  Object.assign(g, { fillStyle: purple, strokeStyle: paper, lineWidth: 1, globalAlpha: 0.9 }).setLineDash([]);
  g.fill(folded);
  g.stroke(folded);
  g.globalAlpha = 1;
}
function paintGrid(plot, nodes) {
  const { g, colour: { muted } } = plot, at = nodes.map(p => plot.at(p));
  g.beginPath();
  for (const i of range(NODES)) {
    range(NODES).forEach(j => g[j ? "lineTo" : "moveTo"](...at[i * NODES + j]));
    range(NODES).forEach(j => g[j ? "lineTo" : "moveTo"](...at[j * NODES + i]));
  }
  Object.assign(g, { strokeStyle: muted, lineWidth: 0.8, globalAlpha: 0.55 }).setLineDash([]);
  g.stroke();
  g.globalAlpha = 1;
}
function paint(plot, { points, momenta, lines, found }) {
  const { ink, muted, green, blue, paper } = plot.colour, end = found.path.at(-1);
  paintCells(plot, found.cells);
  paintGrid(plot, found.passengers);
  for (const line of lines) plot.line(line.map(i => points[i]), { colour: muted, width: 1.5, dash: [2, 3] });
  for (const line of lines) plot.line(line.map(i => found.other[i]), { colour: green, width: 1.5, dash: [6, 4] });
  points.forEach((_, i) => plot.line(found.path.map(x => x[i]), { colour: ink, width: 1, alpha: 0.7 }));
  for (const line of lines) plot.line(line.map(i => end[i]), { colour: ink, width: 2.4 });
  plot.dots(end, { colour: ink, radius: 2.6, edge: paper });
  points.forEach((p, i) => {
    const tip = [p[0] + momenta[i][0], p[1] + momenta[i][1]];
    plot.arrow(p, tip, { colour: paper, width: 4.5, head: 11 });
    plot.arrow(p, tip, { colour: blue, width: 2.4, head: 9 });
  });
  plot.dots(points, { colour: paper, radius: 2.4, edge: muted });
}

// --------------------------------------------------------------------------------------------------- the widget

function flowPlot(ui, now) {
  const n = ui.get("points").length, { frame: [x, y] } = framed(ui.get("points")), start = i => ui.get("points")[i];
  const label = "Landmarks with momenta as arrows, where they flow to, and the grid that flows with them";
  const plot = ui.plot({ x, y: [y[1], y[0]], label, pad: 0 }, p => paint(p, now()));
  const tips = () => ui.get("points").map((p, i) => p.map((v, k) => v + ui.get("momenta")[i][k]));
  const pull = (i, to) => ui.set({ momenta: ui.get("momenta").with(i, to.map((v, k) => v - start(i)[k])) });
  const choose = by => () => ui.set({ selected: (ui.get("selected") + by + n) % n });
  ui.handle(plot, {
    label: () => `momentum of point ${ui.get("selected")}`,
    text: () => way(ui.get("momenta")[ui.get("selected")]),
    now: () => Math.hypot(...ui.get("momenta")[ui.get("selected")]),
    bounds: [0, x[1] - x[0]],
    at: () => tips()[ui.get("selected")],
    to: ([u, v]) => pull(ui.get("selected"), [clamp(u, ...x), clamp(v, ...y)]),
    step: [1, 1],
    keys: { PageDown: choose(1), PageUp: choose(-1), Home: () => pull(ui.get("selected"), start(ui.get("selected"))) },
    near: point => plot.nearest(point, tips()) ?? plot.nearest(point, ui.get("points")),
    select: i => ui.set({ selected: i }),
    look: "mark",
  });
  return plot;
}
function numbers(ui, now) {
  const names = ["energy ½ pᵀK p (px²)", "total momentum (px)", "angular momentum (px²)"];
  const cells = names.map(() => [h("td"), h("td")]);
  return ui.keep(table(["", "start", "now"], names.map((name, i) => row(name, cells[i]))), () => {
    const { H, total, angular } = now().said;
    [H.map(v => decimal(v)), total.map(p => p.map(v => decimal(v)).join(", ")), angular.map(v => decimal(v, 0))]
      .forEach((pair, i) => pair.forEach((words, k) => { cells[i][k].textContent = words; }));
  });
}
const folds = n => (n === 0 ? "no cell folded" : n === 1 ? "1 cell folded" : `${n} cells folded`);
function sizes({ said: { least, most, folded }, found: { enough } }) {
  const sure = Number.isFinite(enough) ? `${enough} step${enough === 1 ? "" : "s"}` : "no number of steps that was tried";
  return `Cells: area × ${decimal(least, 2)} to × ${decimal(most, 2)}, ${folds(folded)}. Sure to fold nothing: ${sure}.`;
}
const legend = () => h("div", { class: "sw-key" },
  h("span", { class: "sw-shades" }), h("span", { class: "sw-fold" }, "folded"),
  h("span", { class: "sw-marks" }, ...["× ¼", "× ½", "× 1", "× 2", "× 4"].map(words => h("span", {}, words))));

function told(now) {
  return `${MODELS[now.model]}, ${METHODS[now.method]}, ${now.found.taken} of ${now.steps} steps. ${sizes(now)} ` +
    `The farthest landmark moved ${decimal(now.said.moved)} px; ` +
    `${MODELS[OTHER[now.model]]} would lead up to ${decimal(now.said.parted)} px away.`;
}

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), found = flowed(state);
    return { ...state, found, said: measured(found, state.sigma) };
  });
  const { size } = framed(ui.get("points")), px = v => `${decimal(v, 0)} px`, plot = flowPlot(ui, now);
  const least = Math.max(1, Math.round(0.15 * size)), most = Math.max(least + 1, Math.round(1.5 * size));
  const count = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { count.textContent = sizes(now()); });
  const parted = ui.keep(h("p", { class: "sw-hint sw-count" }), () => {
    const { said: { moved, parted: by }, model } = now();
    parted.textContent = `Farthest move ${decimal(moved)} px. Green, dashed: ${MODELS[OTHER[model]]}, ` +
      `up to ${decimal(by)} px away.`;
  });
  const none = () => ui.set({ momenta: ui.get("points").map(() => [0, 0]) });
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, plot.node, legend(), count),
      h("div", {},
        h("div", { class: "sw-bar" }, ui.play(), ui.button("No momenta", none), ui.reset(...MOVED)),
        ui.slider({ name: "time", label: "shown until time", min: 0, max: 1, step: 0.05, text: v => decimal(v, 2) }),
        ui.choice({ name: "model", label: "model", options: MODELS }), parted,
        more("Integrator, width, what is conserved",
          ui.choice({ name: "method", label: "integrator", options: METHODS }),
          ui.slider({ name: "steps", label: "steps", min: 1, max: 20, step: 1, text: v => decimal(v, 0) }),
          ui.slider({ name: "sigma", label: "width σ of the kernel", min: least, max: most, step: 1, text: px }),
          numbers(ui, now)),
        hint("Drag an arrow, or any point to give it one. Keys move the ringed one: arrows (Shift: by 5 px), Home (no " +
          "momentum), Page Up and Page Down (the next point). An arrow ends where its point would go if it were alone."))),
    ui.status(() => told(now())),
  ];
});
