// The worst bias of the local soft-argmax as a map over σ and τ, and what it is made of at the place pointed at.
import { aliasing, bias, height, softmaxWidth, worst } from "./heatmaps.js";
import { clamp, decimal, h, hint, key, part, range, rounded, widget } from "./shared.js";

const SIGMAS = [0.5, 4], TENS = [Math.log10(0.5), Math.log10(5000)]; // the map's sides; upwards τ by its powers of ten
const STATE = ["sigma", "tau", "window", "peak"], PEAKS = { one: "1", density: "1/(2πσ²)" };
const COLUMNS = 44, ROWS = 80, SHADES = [-4, 0]; // powers of ten of a cell, that the colours reach from and to
const FINE = 9; // times finer than the cells: nearly no grid
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37]];

const between = ([low, high], n) => range(n).map(k => low + (k + 0.5) / n * (high - low));
/** The worst bias at the middle of each cell of the map, rows upwards. */
export const worstOver = state => between(TENS, ROWS).map(ten =>
  between(SIGMAS, COLUMNS).map(sigma => worst({ ...state, sigma, tau: 10 ** ten })));
/** The bias over a cell, in thousandths of one: as it is, by aliasing's formula, and from the window alone. */
export function curves(state) {
  const s = softmaxWidth(state.sigma, state.tau, state.peak);
  const places = range(101).map(k => (k - 50) / 100.2); // none on the border
  const line = of => places.map(t => [t, 1000 * of(t)]);
  const [now, alias, cut] = [t => bias(t, state), t => aliasing(t, s), t => bias(t, state, FINE)].map(line);
  return { bias: now, aliasing: alias, window: cut };
}

// ------------------------------------------------------------------------------------------------- the pictures

/** From viridis, for a bias in cells. */
function shade(value) {
  const at = clamp((Math.log10(value) - SHADES[0]) / (SHADES[1] - SHADES[0]), 0, 1) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[k].map((v, i) => v + (at - k) * (VIRIDIS[k + 1][i] - v));
}
function painted(map) {
  const canvas = h("canvas", { width: COLUMNS, height: ROWS }), g = canvas.getContext("2d");
  const pixels = g.createImageData(COLUMNS, ROWS);
  map.toReversed().flat().forEach((v, i) => pixels.data.set([...shade(v), 255], 4 * i));
  g.putImageData(pixels, 0, 0);
  return canvas;
}
function paintMap(plot, { image, best }) {
  const [left, top] = plot.at([SIGMAS[0], TENS[1]]), [right, bottom] = plot.at([SIGMAS[1], TENS[0]]);
  plot.g.drawImage(image, left, top, right - left, bottom - top);
  plot.within(() => plot.line(best, { colour: "#fff", width: 1.6, dash: [5, 4] }));
}
const LINES = [["aliasing", "blue", [7, 4]], ["window", "orange", [7, 4]], ["bias", "ink", []]];
function paintCurves(plot, { curves }) {
  plot.line(plot.xs.map(t => [t, 0]), { colour: plot.colour.muted, width: 1 });
  plot.within(() => LINES.forEach(([name, colour, dash]) =>
    plot.line(curves[name], { colour: plot.colour[colour], dash, width: name === "bias" ? 2.6 : 2 })));
}

// --------------------------------------------------------------------------------------------------- the widget

const tau = v => decimal(v, v < 10 ? 1 : 0);
const tens = v => ({ tau: Number((10 ** clamp(v, ...TENS)).toPrecision(2)) });
function mapPlot(ui, now) {
  const names = Object.fromEntries(range(4).map(k => [k, decimal(10 ** k, 0)]));
  const axes = { x: { ticks: [1, 2, 3, 4], label: "σ (cells)" }, y: { ticks: range(4), names, label: "τ" } };
  const label = "The worst bias as colours over σ and τ";
  const plot = ui.plot({ x: SIGMAS, y: TENS, axes, ratio: 1.05, label }, p => paintMap(p, now()));
  const to = ([s, ten]) => ui.set({ sigma: Math.round(50 * clamp(s, ...SIGMAS)) / 50, ...tens(ten) });
  ui.handle(plot, {
    label: () => "σ and τ",
    text: () => `σ ${decimal(ui.get("sigma"), 2)} cells, τ ${tau(ui.get("tau"))}: ` +
      `worst bias ${decimal(now().worst, 4)} cells`,
    now: () => ui.get("sigma"),
    at: () => [ui.get("sigma"), Math.log10(ui.get("tau"))],
    to,
    step: [0.1, 0.05],
    near: at => (SIGMAS[0] <= at[0] && at[0] <= SIGMAS[1] && TENS[0] <= at[1] && at[1] <= TENS[1] ? at : null),
    select: to,
    look: "knob",
  });
  return plot;
}
function curvePlot(ui, now) {
  const axes = { y: { ticks: [], label: "bias (1/1000 cell)" },
    x: { ticks: [-0.5, 0, 0.5], names: { "-0.5": "−½", 0.5: "½" }, label: "t, place within a cell" } };
  const tall = () => {
    const [true_, alias, cut] = ["bias", "aliasing", "window"].map(name => now().curves[name].map(p => p[1]));
    const most = 2.5 * Math.max(...true_); // a formula that is far off leaves the plot
    return rounded([...true_, ...[...alias, ...cut].map(v => clamp(v, -most, most))]);
  };
  const label = "Bias over the place within a cell, with aliasing's formula and what the window alone does";
  return ui.plot({ x: [-0.5, 0.5], y: [-1, 1], ratio: 1.4, axes, tall, label }, p => paintCurves(p, now()));
}
function sums({ sigma, tau: at, worst, H, curves }) {
  const [alias, cut] = ["aliasing", "window"].map(name => Math.max(...curves[name].map(p => Math.abs(p[1]))) / 1000);
  return `σ = ${decimal(sigma, 2)} cells, τ = ${tau(at)}, τH = ${decimal(at * H, at * H < 10 ? 2 : 0)}, s = ` +
    `${decimal(sigma / Math.sqrt(at * H), 2)} cells. Worst bias ${decimal(worst, 4)} cells; aliasing's formula says ` +
    `${decimal(alias, 4)}, the window alone makes ${decimal(cut, 4)}.`;
}
const MARKS = ["0.0001", "0.001", "0.01", "0.1", "1 cell"];
const legend = () => h("div", { class: "sw-bias-key" }, h("span", { class: "sw-viridis" }),
  h("span", { class: "sw-marks" }, ...MARKS.map(words => h("span", {}, words))));

export default widget(ui => {
  let known = null; // the map itself changes with the window and the peak alone
  const mapped = ({ window, peak }) => {
    const name = `${window} ${peak}`;
    if (known?.name === name) return known;
    const map = worstOver({ window, peak }), heights = between(TENS, ROWS);
    const best = between(SIGMAS, COLUMNS).map((sigma, c) => {
      const column = map.map(values => values[c]);
      return [sigma, heights[column.indexOf(Math.min(...column))]];
    });
    return (known = { name, image: painted(map), best });
  };
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { ...state, ...mapped(state), curves: curves(state), worst: worst(state), H: height(state.sigma, state.peak) };
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = sums(now()); });
  const powers = part(ui, () => Math.log10(ui.get("tau")), tens);
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, mapPlot(ui, now).node, legend(),
        hint("The worst bias. Point at the map; drag, or use the arrow keys on the dot. White: the best τ for each σ."),
        ui.slider({ name: "sigma", label: "σ of the map", min: SIGMAS[0], max: SIGMAS[1], step: 0.02,
          text: v => `${decimal(v, 2)} cells` }),
        powers.slider({ name: "tau", label: "τ", min: TENS[0], max: TENS[1], step: 0.01,
          text: () => tau(ui.get("tau")) })),
      h("div", {}, curvePlot(ui, now).node,
        key([["sw-ink", "bias"], ["sw-blue", "aliasing −4πs² exp(−2π²s²) sin 2πt, s = σ/√(τH)"],
          ["sw-orange", "window: the bias on a grid 9 times finer"]]),
        said,
        ui.slider({ name: "window", label: "window d", min: 3, max: 11, step: 2, text: v => `${v} × ${v} cells` }),
        ui.choice({ name: "peak", label: "height H of the peak", options: PEAKS }),
        h("div", { class: "sw-bar" }, ui.reset(...STATE)))),
    ui.status(() => sums(now())),
  ];
});
