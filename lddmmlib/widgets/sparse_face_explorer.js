// A face of which half the landmarks are defined, and the few of them that stand for each of the others.
import { along, correlations, path } from "./lars.js";
import { clamp, decimal, h, hint, range, rounded, row, table, widget } from "./shared.js";

const TAUS = [0.2, 2], MOVED = ["selected", "tau"];

/** A symmetric matrix from its upper triangle, row by row. */
export function symmetric(numbers) {
  const n = Math.round((Math.sqrt(8 * numbers.length + 1) - 1) / 2), at = (i, j) => i * n - i * (i + 1) / 2 + j;
  return range(n).map(i => range(n).map(j => numbers[at(Math.min(i, j), Math.max(i, j))]));
}
/** The lasso's path of a landmark's row, as far as the largest τ. */
export function problem(moment, defined, selected) {
  const gram = defined.map(i => defined.map(j => moment[i][j])), xy = defined.map(i => moment[i][selected]);
  return { gram, xy, size: moment[selected][selected], knots: path(gram, xy, TAUS[1]) };
}
/** The row under the budget tau: its weights h, Σh, |h|₁, and the root of E |h S - y|². */
export function solved({ gram, xy, size, knots }, tau) {
  const { h: weights, size: norm } = along(knots, "size", tau), c = correlations(gram, xy, weights);
  const squared = weights.reduce((left, v, j) => left - v * (xy[j] + c[j]), size);
  return { weights, norm, sum: weights.reduce((a, b) => a + b, 0), used: weights.filter(v => v !== 0).length,
    error: Math.sqrt(Math.max(0, squared)) };
}
/** As Python sees it: the row of a landmark from the upper triangle of the moments. */
export const rowOf = (numbers, { defined, selected, tau }) => solved(problem(symmetric(numbers), defined, selected), tau);

// ------------------------------------------------------------------------------------------------- the pictures

/** The picture's sides: the face with room around it. */
const framed = mean => [0, 1].map(k => mean.map(p => p[k])).map(v => [Math.min(...v) - 0.12, Math.max(...v) + 0.12]);
function paintFace(plot, { mean, lines, defined, undefined_, selected, weights, error, made }) {
  const { blue, orange, ink, muted, line, paper, purple } = plot.colour, y = mean[selected];
  for (const curve of lines) plot.line(curve.map(i => mean[i]), { colour: line, width: 1.4 });
  const chosen = defined.map((i, k) => [mean[i], weights[k]]).filter(([, w]) => w !== 0);
  for (const [p, w] of chosen) {
    const look = { width: 1 + 3 * Math.abs(w), alpha: clamp(3 * Math.abs(w), 0.12, 0.6) };
    plot.line([p, y], { colour: w > 0 ? blue : orange, ...look });
  }
  plot.dots(undefined_.map(i => mean[i]), { colour: paper, radius: 2.8, edge: muted });
  plot.dots(defined.map(i => mean[i]), { colour: ink, radius: 2.4 });
  plot.g.globalAlpha = 0.55;
  for (const [p, w] of chosen) plot.dots([p], { colour: w > 0 ? blue : orange, radius: 24 * Math.sqrt(Math.abs(w)) });
  plot.g.globalAlpha = 1;
  plot.line(range(49).map(a => [0, 1].map(k => made[k] + error * [Math.cos, Math.sin][k](a * Math.PI / 24))),
    { colour: purple, width: 1.4, dash: [3, 3] });
  const by = 5 / plot.scaleX;
  for (const s of [-1, 1]) {
    plot.line([-1, 1].map(d => [made[0] + d * by, made[1] + s * d * by]), { colour: purple, width: 2.4 });
  }
}

// --------------------------------------------------------------------------------------------------- the widget

function facePlot(ui, now) {
  const mean = ui.get("mean"), [x, y] = framed(mean), all = () => now().undefined_;
  const label = "The mean face, the selected landmark, and the defined ones that stand for it";
  const ratio = (x[1] - x[0]) / (y[1] - y[0]);
  const plot = ui.plot({ x, y: [y[1], y[0]], ratio, label, pad: 0 }, p => paintFace(p, now()));
  const choose = by => () => ui.set({ selected: all().at((all().indexOf(ui.get("selected")) + by) % all().length) });
  const [next, before] = [choose(1), choose(-1)];
  ui.handle(plot, {
    label: () => "undefined landmark",
    text: () => `landmark ${ui.get("selected")}`,
    now: () => ui.get("selected"),
    bounds: [0, mean.length - 1],
    at: () => mean[ui.get("selected")],
    to: () => {}, // it is chosen, not moved
    step: [0, 0],
    keys: { ArrowRight: next, ArrowDown: next, PageDown: next, ArrowLeft: before, ArrowUp: before, PageUp: before },
    near: point => plot.nearest(point, all().map(i => mean[i])),
    select: k => ui.set({ selected: all()[k] }),
    look: "mark",
  });
  return plot;
}
function errorPlot(ui, now) {
  const axes = { x: { ticks: [0.2, 1, 1.4, 2], names: { 0.2: "0.2", 1.4: "1.4" }, label: "τ" },
    y: { ticks: [], label: "rms error (% of the corners' distance)" } };
  const grid = range(91).map(k => TAUS[0] + k * 0.02);
  const line = ui.memo(() => grid.map(tau => [tau, 100 * solved(now().problem, tau).error]));
  const tall = () => rounded(line().filter(p => p[0] > 0.97).map(p => p[1])); // before that it is huge
  const plot = ui.plot({ x: TAUS, y: [0, 1], ratio: 1.7, axes, tall, label: "The error over the budget τ" }, p =>
    p.within(() => p.line(line(), { colour: p.colour.purple, width: 2.4 })));
  const to = ([tau]) => ui.set({ tau: Math.round(100 * clamp(tau, ...TAUS)) / 100 });
  ui.handle(plot, {
    label: () => "budget τ, on the plot",
    text: () => `τ ${decimal(ui.get("tau"), 2)}, rms error ${decimal(100 * now().error, 2)} %`,
    now: () => ui.get("tau"),
    at: () => [ui.get("tau"), clamp(100 * now().error, ...plot.ys)],
    to,
    step: [0.02, 0],
    look: "knob",
  });
  return plot;
}
function numbers(ui, now) {
  const names = ["Σh", "|h|₁", "landmarks used", "rms error over the faces", "error on the mean face"];
  const cells = names.map(() => h("td"));
  return ui.keep(table(["the row h", ""], names.map((name, i) => row(name, [cells[i]]))), () => {
    const { sum, norm, used, error, off } = now();
    [decimal(sum, 4), decimal(norm, 3), String(used), `${decimal(100 * error, 2)} %`, `${decimal(100 * off, 2)} %`]
      .forEach((words, i) => { cells[i].textContent = words; });
  });
}
/** The weights in words, the largest first. */
function listed({ defined, weights }, most = 8) {
  const found = defined.map((i, k) => [weights[k], i]).filter(([w]) => w !== 0);
  found.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]));
  const words = found.slice(0, most).map(([w, i]) => `${decimal(w, 3)} of ${i}`);
  return `${words.join(", ")}${found.length > most ? `, and ${found.length - most} smaller` : ""}.`;
}
const told = now => `Landmark ${now.selected}, τ ${decimal(now.tau, 2)}: rms error ${decimal(100 * now.error, 2)} %, ` +
  `Σh ${decimal(now.sum, 3)}. Weights: ${listed(now)}`;

export default widget(ui => {
  const view = ui.get("moment"), mean = ui.get("mean");
  const moment = symmetric(range(view.byteLength / 8).map(i => view.getFloat64(8 * i, true)));
  const now = ui.memo(() => {
    const [defined, selected, tau] = ["defined", "selected", "tau"].map(name => ui.get(name));
    const given = problem(moment, defined, selected), found = solved(given, tau);
    const made = [0, 1].map(k => defined.reduce((sum, i, j) => sum + found.weights[j] * mean[i][k], 0));
    const undefined_ = range(mean.length).filter(i => !defined.includes(i));
    return { mean, lines: ui.get("lines"), defined, undefined_, selected, tau, problem: given, ...found, made,
      off: Math.hypot(...made.map((v, k) => v - mean[selected][k])) };
  });
  const words = ui.keep(h("p", { class: "sw-hint sw-count" }), () => {
    words.textContent = `Landmark ${now().selected} is ${listed(now())}`;
  });
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, facePlot(ui, now).node,
        hint("Press a hollow landmark, or use the arrow keys on the ring. Discs: the weights by area, blue positive, " +
          "orange negative. Cross: what they make of the mean face. Dashed: the rms error over real faces.")),
      h("div", {},
        ui.slider({ name: "tau", label: "budget τ ≥ |h|₁", min: TAUS[0], max: TAUS[1], step: 0.01,
          text: v => decimal(v, 2) }),
        numbers(ui, now), words, errorPlot(ui, now).node,
        h("div", { class: "sw-bar" }, ui.reset(...MOVED)))),
    ui.status(() => told(now())),
  ];
});
