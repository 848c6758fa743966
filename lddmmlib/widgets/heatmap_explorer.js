// A point between cells, the heatmap that it becomes, and where the decoders find it again.
import { across, centre, decode, height, largest, noisy, parabola, softmaxWidth, weights } from "./heatmaps.js";
import { clamp, decimal, h, hint, more, part, range, rounded, row, table, widget } from "./shared.js";

const STATE = ["point", "size", "sigma", "rounding", "peak", "decoder", "window", "tau", "noise", "seed"];
const DECODERS = { argmax: "argmax", quarter: "quarter shift", taylor: "Taylor (DARK)", soft: "soft-argmax",
  local_soft: "local soft-argmax", barycentre: "barycentre" };
const ROUNDINGS = { none: "none", round: "nearest", floor: "floor" }, PEAKS = { one: "1", density: "1/(2πσ²)" };

/** The map, each decoder's point and how far it is off, and the chosen one's weights. */
export function found(state) {
  const map = noisy(state), off = p => [p[0] - state.point[0], p[1] - state.point[1]];
  const points = Object.fromEntries(Object.keys(DECODERS).map(name => [name, decode(map, name, state)]));
  const errors = Object.fromEntries(Object.entries(points).map(([name, p]) => [name, off(p)]));
  return { map, points, errors, lost: Math.hypot(...off(centre(state.point, state.rounding))),
    weights: weights(map, state.decoder, state) };
}

// ------------------------------------------------------------------------------------------------- the pictures

const square = ([x, y], half) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([u, v]) => [x + u * half, y + v * half]);
function cross(plot, point, size, look) {
  const by = size / plot.scaleX;
  for (const s of [-1, 1]) plot.line([-1, 1].map(d => [point[0] + d * by, point[1] + s * d * by]), look);
}
function paintMap(plot, now) {
  const { blue, orange, ink, paper, line, purple } = plot.colour, { map, size, point, decoder, window } = now;
  const most = Math.max(...map.flat()), side = size - 0.5;
  map.forEach((values, y) => values.forEach((v, x) => {
    const alpha = 0.9 * clamp(Math.abs(v) / most, 0, 1);
    plot.line(square([x, y], 0.5), { fill: v < 0 ? orange : blue, alpha, close: true });
  }));
  for (const k of range(size + 1)) {
    const at = k - 0.5, grid = { colour: line, width: 0.7 };
    plot.line([[at, -0.5], [at, side]], grid);
    plot.line([[-0.5, at], [side, at]], grid);
  }
  const peak = largest(map);
  const rim = { colour: ink, width: 1.6, dash: [5, 4], close: true };
  if (decoder === "local_soft") plot.line(square(peak, window / 2), rim);
  plot.line([[-0.5, peak[1]], [side, peak[1]]], { colour: purple, width: 1, dash: [2, 3] });
  cross(plot, now.points[decoder], 6, { colour: paper, width: 5.5 });
  cross(plot, now.points[decoder], 6, { colour: ink, width: 2.4 });
}
/** The values in the row of the peak; as bars what the decoder makes of the columns, or for "taylor" its parabola. */
function paintProfile(plot, { map, size, point, points, decoder, weights, H }) {
  const { blue, orange, ink, muted, green } = plot.colour, [, y] = largest(map);
  const upright = (x, look) => plot.line(plot.ys.map(v => [x, v]), look);
  plot.line(plot.xs.map(x => [x, 0]), { colour: muted, width: 1 });
  plot.within(() => {
    if (weights) {
      across(weights).forEach((w, x) => {
        const bar = [[x - 0.42, 0], [x - 0.42, 100 * w], [x + 0.42, 100 * w], [x + 0.42, 0]];
        plot.line(bar, { fill: green, alpha: 0.4, close: true });
      });
    }
    const fit = decoder === "taylor" && parabola(map);
    if (fit) {
      const value = z => 100 * Math.exp(fit.f + fit.g[0] * z + fit.xx * z * z / 2) / H;
      plot.line(range(121).map(i => i / 20 - 3).map(z => [fit.x + z, value(z)]), { colour: green, width: 3 });
    }
    upright(point[0], { colour: orange, width: 2 });
    upright(points[decoder][0], { colour: ink, width: 1.6, dash: [5, 4] });
    const values = range(size).map(x => [x, 100 * map[y][x] / H]);
    plot.line(values, { colour: blue, width: 1.4 });
    plot.dots(values, { colour: blue, radius: 2.8 });
  });
}

// --------------------------------------------------------------------------------------------------- the widget

function mapPlot(ui, now) {
  const size = ui.get("size"), [low, high] = [-0.5, size - 0.5];
  const label = "The heatmap, the window around its largest value, and the decoded point";
  const plot = ui.plot({ x: [low, high], y: [high, low], label, pad: 0 }, p => paintMap(p, now()));
  ui.handle(plot, {
    label: () => "true point",
    text: () => ui.get("point").map((v, k) => `${"xy"[k]} ${decimal(v, 2)}`).join(", "),
    at: () => ui.get("point"),
    to: at => ui.set({ point: at.map(v => Math.round(100 * clamp(v, 0, size - 1)) / 100) }),
    step: [0.05, 0.05],
    keys: { Home: () => ui.set({ point: ui.get("point").map(Math.round) }) },
  });
  return plot;
}
function profilePlot(ui, now) {
  const size = ui.get("size"), ticks = range(Math.floor((size - 1) / 5) + 1).map(k => 5 * k);
  const x = { ticks, grid: false, label: "x (cells)" }, y = { ticks: [], label: "% of the peak; % of the weights" };
  const label = "Values in the row of the largest one, and the decoder's weights of the columns";
  const tall = () => rounded(now().map[largest(now().map)[1]].map(v => 100 * v / now().H), 0, 100);
  return ui.plot({ x: [-0.5, size - 0.5], y: [0, 100], ratio: 1.7, axes: { x, y }, tall, label }, p => paintProfile(p, now()));
}
/** The decoders to choose from, and how far each is off. */
function decoders(ui, now) {
  const names = Object.keys(DECODERS), radios = ui.radios("decoder", DECODERS);
  const fields = names.map(() => [h("td"), h("td"), h("td")]);
  const rows = names.map((name, i) => row(radios[name], fields[i]));
  return ui.keep(table(["error (cells)", "x", "y", "size"], rows), () => {
    names.forEach((name, i) => {
      const off = now().errors[name];
      [...off, Math.hypot(...off)].forEach((v, k) => { fields[i][k].textContent = decimal(v, 3); });
      rows[i].className = name === now().decoder ? "sw-chosen" : "";
    });
  });
}
const lost = now => `The encoder's rounding moved the centre by ${decimal(now.lost, 2)} cells. ` +
  `τH = ${decimal(now.tau * now.H, 1)}: near the peak the softmax has the width ` +
  `σ/√(τH) = ${decimal(softmaxWidth(now.sigma, now.tau, now.peak), 2)} cells.`;
const told = now =>
  `${DECODERS[now.decoder]}: ${decimal(Math.hypot(...now.errors[now.decoder]), 3)} cells off. ${lost(now)}`;

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { ...state, ...found(state), H: height(state.sigma, state.peak) };
  });
  const slider = (name, label, min, max, step, text) => ui.slider({ name, label, min, max, step, text });
  const tens = part(ui, () => Math.log10(ui.get("tau")), v => ({ tau: Number((10 ** v).toPrecision(2)) }));
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = lost(now()); });
  const another = ui.button("Other noise", () => ui.set({ seed: ui.get("seed") + 1 }));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, mapPlot(ui, now).node,
        hint("Drag the ring, the true point; the cross is the decoded one. Keys: arrows by 0.05 cells (Shift: 0.25), " +
          "Home (a cell's centre). Orange cells are below 0."),
        ui.choice({ name: "rounding", label: "rounding by the encoder", options: ROUNDINGS }),
        slider("noise", "noise", 0, 0.3, 0.01, v => `${decimal(100 * v, 0)} % of the peak`),
        more("Width and height of the map, window, τ",
          slider("sigma", "σ of the map", 0.4, 3, 0.1, v => `${decimal(v)} cells`),
          slider("window", "window", 3, 11, 2, v => `${v} × ${v} cells`),
          tens.slider({ name: "tau", label: "τ", min: -0.3, max: 3.7, step: 0.05,
            text: () => decimal(ui.get("tau"), ui.get("tau") < 10 ? 1 : 0) }),
          ui.choice({ name: "peak", label: "height H of the peak", options: PEAKS }))),
      h("div", {}, profilePlot(ui, now).node,
        hint("The row of the peak. Blue: the map. Green: the weights, summed over each column, or Taylor's parabola. " +
          "Orange: the true x. Dashed: the decoded x."),
        decoders(ui, now), said,
        h("div", { class: "sw-bar" }, another, ui.reset(...STATE)))),
    ui.status(() => told(now())),
  ];
});
