// Heaps of earth in a row that the reader raises and lowers, what crosses each border, and the plan as a picture.
import { heaviest, MOST, sinkhorn } from "./transport.js";
import { clamp, decimal, h, hint, key, part, range, row, table, widget } from "./shared.js";

const STATE = ["u", "v", "eps", "cost", "selected"], COSTS = { distance: "|x − y|", square: "|x − y|²" };
const shares = heights => {
  const total = heights.reduce((a, b) => a + b);
  return heights.map(x => x / total);
};
/** The shares, what crosses the borders and the work by that; Sinkhorn's plan, its cost, value and steps. */
export function found({ u: a, v: b, eps, cost: power }) {
  const [u, v] = [a, b].map(shares), n = u.length, grid = { w: n, h: 1, p: power === "square" ? 2 : 1 };
  let over = 0;
  const crosses = range(n - 1).map(k => (over += u[k] - v[k]));
  const entropic = sinkhorn(Float64Array.from(u), Float64Array.from(v), eps, grid);
  return { u, v, crosses, work: crosses.reduce((sum, x) => sum + Math.abs(x), 0), cost: entropic.cost,
    value: entropic.value, steps: entropic.steps, plan: heaviest(u, v, entropic, eps, grid, 1e-5, n * n) };
}

// ------------------------------------------------------------------------------------------------- the pictures

const bar = (x, y) => [[x - 0.36, 0], [x - 0.36, y], [x + 0.36, y], [x + 0.36, 0]];
function paintHeaps(plot, now) {
  const { blue, orange, green, ink } = plot.colour, n = now.heights[0].length;
  now.heights[0].forEach((y, x) => plot.line(bar(x, y), { fill: blue, alpha: 0.75, close: true }));
  now.heights[1].forEach((y, x) => plot.line(bar(x, -y), { fill: orange, alpha: 0.75, close: true }));
  plot.line([[-0.5, 0], [n - 0.5, 0]], { colour: ink, width: 1 });
  now.crosses.forEach((over, k) => {
    if (Math.abs(over) < 0.005) return;
    const [from, to] = over > 0 ? [k + 0.05, k + 0.95] : [k + 0.95, k + 0.05];
    plot.arrow([from, 0], [to, 0], { colour: plot.colour.paper, width: 4 + 14 * Math.abs(over), head: 15 });
    plot.arrow([from, 0], [to, 0], { colour: green, width: 1 + 14 * Math.abs(over), head: 12 });
  });
}
function paintPlan(plot, { plan, u }) {
  const { ink, muted, line, paper } = plot.colour, n = u.length, most = Math.max(...plan.map(p => p[2]));
  const [low, high] = [-0.5, n - 0.5], whole = [[low, low], [high, low], [high, high], [low, high]];
  plot.line(whole, { fill: paper, close: true }); // over the lines of the axes, which go through the heaps
  for (const k of range(n + 1).map(i => i - 0.5)) {
    for (const ends of [[[k, low], [k, high]], [[low, k], [high, k]]]) plot.line(ends, { colour: line, width: 0.6 });
  }
  for (const [i, j, mass] of plan) {
    const square = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [j + a / 2, i + b / 2]);
    plot.line(square, { fill: ink, alpha: Math.sqrt(mass / most), close: true });
  }
  plot.line([[low, low], [high, high]], { colour: muted, width: 1.5, dash: [5, 4] });
}

// --------------------------------------------------------------------------------------------------- the widget

function heapPlot(ui, now) {
  const n = ui.get("u").length, label = "Heaps as they are, upwards, and as they should be, downwards; arrows at the borders";
  const plot = ui.plot({ x: [-0.5, n - 0.5], y: [-1.1, 1.1], ratio: 1.15, label, pad: 4 }, p => paintHeaps(p, now()));
  const tips = () => [...ui.get("u").map((y, x) => [x, y]), ...ui.get("v").map((y, x) => [x, -y])];
  const which = i => (i < n ? ["u", i, 1] : ["v", i - n, -1]);
  const raise = (i, y) => {
    const [name, k, sign] = which(i), heights = ui.get(name).with(k, Math.round(100 * clamp(sign * y, 0, 1)) / 100);
    if (heights.some(x => x > 0)) ui.set({ [name]: heights });
  };
  const choose = by => () => ui.set({ selected: (ui.get("selected") + by + 2 * n) % (2 * n) });
  ui.handle(plot, {
    label: () => (([name, k]) => `heap ${k + 1} of ${name}`)(which(ui.get("selected"))),
    text: () => decimal(Math.abs(tips()[ui.get("selected")][1]), 2),
    now: () => Math.abs(tips()[ui.get("selected")][1]),
    bounds: [0, 1],
    at: () => tips()[ui.get("selected")],
    to: ([, y]) => raise(ui.get("selected"), y),
    step: [0, 0.05],
    keys: { ArrowRight: choose(1), ArrowLeft: choose(-1), PageDown: choose(1), PageUp: choose(-1) },
    near: point => plot.nearest(point, tips()),
    select: i => ui.set({ selected: i }),
    look: "mark",
  });
  return plot;
}
function planPlot(ui, now) {
  const n = ui.get("u").length, names = Object.fromEntries(range(n).map(k => [k, `${k + 1}`]));
  const axes = { x: { ticks: range(n), names, grid: false, label: "to heap" },
    y: { ticks: range(n), names, label: "from heap" } };
  const label = "The plan: how much goes from each heap, a row, to each heap, a column";
  return ui.plot({ x: [-0.5, n - 0.5], y: [-0.5, n - 0.5], ratio: 0.97, axes, label }, p => paintPlan(p, now()));
}
function numbers(ui, now) {
  const names = ["W1, what crosses", "cost of the plan", "value, with the penalty"], cells = names.map(() => h("td"));
  return ui.keep(table(["", "now"], names.map((name, i) => row(name, [cells[i]]))), () => {
    [now().work, now().cost, now().value].forEach((v, i) => { cells[i].textContent = decimal(v, 3); });
  });
}
const told = now => `What crosses the borders adds up to ${decimal(now.work, 2)}; the plan costs ${decimal(now.cost, 2)}, ` +
  `after ${now.steps} steps${now.steps < MOST ? "" : ", which were not enough"}.`;

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { heights: [state.u, state.v], ...found(state) };
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const powers = part(ui, () => Math.log2(ui.get("eps")), v => ({ eps: Number((2 ** v).toPrecision(2)) }));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, heapPlot(ui, now).node,
        key([["sw-blue", "u, as it is"], ["sw-orange", "v, as it should be"], ["sw-green", "crosses the border"]]),
        hint("Drag a heap's end. Keys: up and down (Shift: 5 steps), left and right for the next heap."),
        numbers(ui, now), said),
      h("div", {}, planPlot(ui, now).node,
        powers.slider({ name: "eps", label: "ε", min: -2, max: 4, step: 0.25, text: () => decimal(ui.get("eps"), 2) }),
        ui.choice({ name: "cost", label: "cost of a way", options: COSTS }),
        h("div", { class: "sw-bar" }, ui.reset(...STATE)))),
    ui.status(() => told(now())),
  ];
});
