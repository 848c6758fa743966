// Two landmarks heading at one another: their ways, and what of energy and momentum is conserved.
import { angularMomentum, flow, gaussian, lattice, totalMomentum } from "./lddmm.js";
import { clamp, decimal, h, hint, key, more, range, rounded, row, table, widget } from "./shared.js";

const HALF = 60; // px from the middle to where each starts
const WIDE = 110, HIGH = 80; // half the picture, px
const COLUMNS = 37, ROWS = 27; // nodes of the grid, of which every other line is drawn
const STATE = ["offset", "momentum", "ratio", "sigma", "model", "method", "steps"], MOVED = [...STATE, "time"];
const MODELS = { shoot: "geodesic shooting", flow: "constant momenta" };
const METHODS = { euler: "Euler", rk2: "RK2", rk4: "RK4" };

/** Where they start, and with which momenta. */
export const started = ({ offset, momentum, ratio }) => ({
  x0: [[-HALF, offset / 2], [HALF, -offset / 2]],
  p0: [[momentum, 0], [-ratio * momentum, 0]],
});
/** Energy with its two parts, momenta, and the distance, at every step. */
export function history({ path, momenta }, sigma) {
  return path.map((x, k) => {
    const p = momenta[k], own = p.reduce((sum, [u, v]) => sum + (u * u + v * v) / 2, 0);
    const shared = gaussian(x[0], x[1], sigma) * (p[0][0] * p[1][0] + p[0][1] * p[1][1]);
    return {
      time: k / (path.length - 1), own, shared, H: own + shared, total: totalMomentum(p), angular: angularMomentum(x, p),
      distance: Math.hypot(x[0][0] - x[1][0], x[0][1] - x[1][1]), p,
    };
  });
}
/** The whole flow, and the grid as it is at `taken` steps. */
export function run(state, taken = state.steps) {
  const given = { ...started(state), ...state }, grid = lattice([-WIDE, WIDE], [-HIGH, HIGH], COLUMNS, ROWS);
  const whole = flow(given), nodes = flow({ ...given, taken, passengers: grid }).passengers;
  return { ...whole, nodes, records: history(whole, state.sigma) };
}

// ------------------------------------------------------------------------------------------------- the pictures

const even = i => i % 2 === 0;
/** A momentum as an arrow, which grows more slowly the longer it is and stays in the picture. */
const arrowOf = p => p.map(v => v * 40 / (60 + Math.hypot(...p)));
function paintPlane(plot, { path, momenta, nodes, taken, sigma, p0, x0 }) {
  const { g, colour: { muted, blue, orange, ink, paper } } = plot, at = nodes.map(p => plot.at(p));
  g.beginPath();
  for (const r of range(ROWS).filter(even)) range(COLUMNS).forEach(c => g[c ? "lineTo" : "moveTo"](...at[r * COLUMNS + c]));
  for (const c of range(COLUMNS).filter(even)) range(ROWS).forEach(r => g[r ? "lineTo" : "moveTo"](...at[r * COLUMNS + c]));
  Object.assign(g, { strokeStyle: muted, lineWidth: 0.8, globalAlpha: 0.5 }).setLineDash([]);
  g.stroke();
  g.globalAlpha = 1;
  [blue, orange].forEach((colour, i) => {
    const now = path[taken][i], arrow = arrowOf(momenta[taken][i]), tip = now.map((v, k) => v + arrow[k]);
    const alone = x0[i].map((v, k) => v + p0[i][k]); // where it would be, if it were alone
    plot.line([x0[i], alone], { colour, width: 1.2, dash: [2, 4] });
    plot.line(path.map(x => x[i]), { colour, width: 1.4, alpha: 0.6 });
    plot.line(path.slice(0, taken + 1).map(x => x[i]), { colour, width: 3 });
    plot.dots([alone], { colour: paper, radius: 5, edge: colour });
    plot.dots([alone], { colour, radius: 1.5 });
    plot.line(range(49).map(a => [0, 1].map(k => now[k] + sigma * [Math.cos, Math.sin][k](a * Math.PI / 24))),
      { colour, width: 1, dash: [4, 4], alpha: 0.8 });
    plot.arrow(now, tip, { colour: paper, width: 5, head: 11 });
    plot.arrow(now, tip, { colour, width: 2.4, head: 9 });
    plot.dots([x0[i]], { colour: paper, radius: 4, edge: colour });
    plot.dots([now], { colour, radius: 5.5, edge: paper });
  });
  plot.text("⊙ where each would be, alone", [plot.xs[0], plot.ys[0]], { dx: 6, dy: -7, colour: ink });
}
/** A plot over time of several lines, with a knob at the time that the plane shows. */
function timePlot(ui, now, { title, label, lines, most }) {
  const drawn = () => lines.map(line => ({ ...line, points: now().records.map(r => [r.time, line.of(r, now())]) }));
  const axes = {
    x: { ticks: [0, 0.5, 1], names: { 0: "0", 0.5: "½", 1: "1" }, label: "time" },
    y: { ticks: [], label: title },
  };
  const tall = () => rounded(drawn().flatMap(({ points }) => points.map(p => clamp(p[1], -most(now()), most(now())))));
  const plot = ui.plot({ x: [0, 1], y: [0, 1], ratio: 1.5, axes, tall, label }, p => {
    p.line([[0, 0], [1, 0]], { colour: p.colour.muted, width: 1 });
    p.within(() => {
      for (const { points, colour, width = 2 } of drawn()) p.line(points, { colour: p.colour[colour], width });
    });
    const t = ui.get("time");
    p.line([[t, p.ys[0]], [t, p.ys[1]]], { colour: p.colour.ink, width: 1.2, dash: [5, 4] });
  });
  return plot;
}
const ENERGY = [
  { of: (r, { H }) => 100 * r.own / H, colour: "blue", width: 1.6 },
  { of: (r, { H }) => 100 * r.shared / H, colour: "purple", width: 1.6 },
  { of: (r, { H }) => 100 * r.H / H, colour: "ink", width: 3 },
];
const MOMENTA = [
  { of: r => r.p[0][0], colour: "blue" },
  { of: r => r.p[1][0], colour: "orange" },
  { of: r => r.total[0], colour: "ink", width: 3 },
];

const farthest = ({ momentum, ratio }) => 4 * momentum * Math.max(1, ratio); // what grows further leaves the plot

// --------------------------------------------------------------------------------------------------- the widget

function planePlot(ui, now) {
  const label = "The plane with the two landmarks, their ways, momenta and the grid that flows with them";
  const plot = ui.plot({ x: [-WIDE, WIDE], y: [HIGH, -HIGH], ratio: WIDE / HIGH, label, pad: 0 }, p => paintPlane(p, now()));
  ui.handle(plot, {
    label: () => "offset of the first landmark",
    text: () => `${decimal(ui.get("offset"), 0)} px between the two lines`,
    now: () => ui.get("offset"),
    bounds: [-80, 80],
    at: () => started(now()).x0[0],
    to: ([, v]) => ui.set({ offset: clamp(Math.round(2 * v), -80, 80) }),
    step: [0, 1],
    keys: { Home: () => ui.set({ offset: 0 }) },
    look: "mark",
  });
  return plot;
}
function numbers(ui, now) {
  const names = ["energy H (px²)", "total momentum (px)", "angular momentum (px²)", "|p₁|, |p₂| (px)", "distance (px)"];
  const cells = names.map(() => [h("td"), h("td")]);
  return ui.keep(table(["", "start", "now"], names.map((name, i) => row(name, cells[i]))), () => {
    [now().records[0], now().records[now().taken]].forEach((r, k) => {
      const words = [decimal(r.H, 0), r.total.map(v => decimal(v, 0)).join(", "), decimal(r.angular, 0),
        r.p.map(p => decimal(Math.hypot(...p), 0)).join(", "), decimal(r.distance, 2)];
      words.forEach((w, i) => { cells[i][k].textContent = w; });
    });
  });
}
function told({ records, taken, model, method, steps, offset }) {
  const nearest = Math.min(...records.map(r => r.distance)), [first, last] = [records[0], records.at(-1)];
  return `${MODELS[model]}, ${METHODS[method]}, ${steps} steps, offset ${decimal(offset, 0)} px. Nearest distance ` +
    `${decimal(nearest, 2)} px. Energy ${decimal(100 * last.H / first.H, 0)} % of the start, ` +
    `total momentum ${last.total.map(v => decimal(v)).join(", ")} px.` + (taken < steps ? ` Shown at step ${taken}.` : "");
}

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    const taken = Math.round(ui.get("time") * state.steps), found = run(state, taken);
    return { ...state, ...started(state), ...found, taken, H: found.records[0].H || 1 };
  });
  const px = v => `${decimal(v, 0)} px`, slider = (name, label, min, max, step, text) =>
    ui.slider({ name, label, min, max, step, text });
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, planePlot(ui, now).node,
        h("div", { class: "sw-bar" }, ui.play({ seconds: 3 }), ui.reset(...MOVED)),
        slider("offset", "offset of their lines", -80, 80, 1, px),
        slider("ratio", "|p₂| : |p₁|", 0, 2, 0.1, v => decimal(v)),
        slider("time", "shown at time", 0, 1, 0.02, v => decimal(v, 2)),
        more("Other models, integrators, widths",
          ui.choice({ name: "model", label: "model", options: MODELS }),
          slider("momentum", "momentum of the first, p₁", 0, 160, 2, px),
          slider("sigma", "width σ of the kernel", 10, 100, 1, px),
          ui.choice({ name: "method", label: "integrator", options: METHODS }),
          slider("steps", "steps", 2, 100, 1, v => decimal(v, 0)))),
      h("div", {},
        timePlot(ui, now, { title: "energy, % of H at the start", lines: ENERGY, most: () => 400, label: "Energy over time" }).node,
        key([["sw-ink", "H"], ["sw-blue", "own ½|p₁|² + ½|p₂|²"], ["sw-purple", "shared K p₁·p₂"]]),
        timePlot(ui, now, { title: "momenta, x part (px)", lines: MOMENTA, most: farthest, label: "Momenta over time" }).node,
        key([["sw-blue", "p₁"], ["sw-orange", "p₂"], ["sw-ink", "p₁ + p₂"]]),
        more("The numbers", numbers(ui, now)),
        hint("Drag the first landmark up and down, or use the arrow keys on it (Shift: by 5 px; Home: head-on). Circles " +
          "have the radius σ. Arrows are momenta. Some lines grow beyond their plot."))),
    ui.status(() => told(now())),
  ];
});
