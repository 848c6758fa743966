// A curve that finds another: the momenta of least J, equation 2 of paper A, found anew for every target.
import { distance2, flow, hamiltonian, gaussian, lattice } from "./lddmm.js";
import { clamp, decimal, h, hint, key, more, part, range, widget } from "./shared.js";

const SIZE = 200, STEPS = 8, BETA = 0.1, RIDGE = 1e-3, NODES = 25, EDGE = [5, SIZE - 5];
const STATE = ["template", "target", "sigma", "gamma", "terms"];
const TERMS = { both: "both", landmarks: "landmarks", curve: "the curve" };
const POWERS = { min: -3, max: -0.55, step: 0.05 }; // of 10, for γ

// ------------------------------------------------------------------------------------------------------ the search

/** C with C Cᵀ = K + 0.001, lower triangular: with p = C⁻ᵀ z the energy is nearly |z|², and the search is short. */
function cholesky(x, sigma) {
  const n = x.length, c = range(n).map(() => new Float64Array(n));
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) {
    let sum = gaussian(x[i], x[j], sigma) + (i === j ? RIDGE : 0);
    for (let k = 0; k < j; k++) sum -= c[i][k] * c[j][k];
    c[i][j] = i === j ? Math.sqrt(sum) : sum / c[j][j];
  }
  return c;
}
/** Solves Cᵀ p = z, for both coordinates. */
function back(c, z) {
  const n = c.length, p = range(n).map(() => [0, 0]);
  for (let i = n - 1; i >= 0; i--) for (const d of [0, 1]) {
    let sum = z[2 * i + d];
    for (let k = i + 1; k < n; k++) sum -= c[k][i] * p[k][d];
    p[i][d] = sum / c[i][i];
  }
  return p;
}
/** D = β D_c + D_l, equations 3 to 5, of the terms that are asked for. */
export function discrepancy(z, y, sigma, terms) {
  const apart = z.reduce((sum, [u, v], i) => sum + Math.hypot(u - y[i][0], v - y[i][1]), 0) / z.length;
  return (terms === "landmarks" ? 0 : BETA * distance2(z, y, sigma / 2)) + (terms === "curve" ? 0 : apart);
}
/** J, equation 2: a geodesic keeps its energy 2 H. */
export function objective({ template, target, sigma, gamma, terms }, p0) {
  const end = flow({ x0: template, p0, sigma, steps: STEPS }).path.at(-1);
  return 2 * gamma * hamiltonian(template, p0, sigma) + discrepancy(end, target, sigma, terms);
}
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const plus = (a, t, b) => a.map((v, i) => v + t * b[i]);
/** The momenta of least J by L-BFGS, with derivatives by differences: so few numbers need nothing better. */
export function matched(state, start = null, most = 80) {
  const c = cholesky(state.template, state.sigma), J = z => objective(state, back(c, z));
  const slope = z => z.map((v, i) => {
    const e = 1e-4;
    return (J(z.with(i, v + e)) - J(z.with(i, v - e))) / (2 * e);
  });
  let z = start ?? Array(2 * state.template.length).fill(0), value = J(z), g = slope(z);
  const pairs = [];
  for (let k = 0; k < most; k++) {
    const way = downhill(g, pairs), down = dot(way, g);
    let t = pairs.length ? 1 : Math.min(1, 5 / (Math.hypot(...g) || 1)), to, then;
    for (;;) { // Armijo
      to = plus(z, t, way);
      then = J(to);
      if (then <= value + 1e-4 * t * down || t < 1e-6) break;
      t /= 2;
    }
    if (!(then < value)) break;
    const next = slope(to), s = plus(to, -1, z), y = plus(next, -1, g);
    if (dot(s, y) > 1e-10) pairs.push([s, y]);
    if (pairs.length > 8) pairs.shift();
    const gained = value - then;
    [z, value, g] = [to, then, next];
    if (gained < 1e-5 * value) break;
  }
  return { z, value, p0: back(c, z) };
}
/** The two loops of L-BFGS. */
function downhill(g, pairs) {
  let way = g.map(v => -v);
  const steps = [...pairs].reverse().map(([s, y]) => {
    const a = dot(s, way) / dot(s, y);
    way = plus(way, -a, y);
    return [a, s, y];
  });
  const [s, y] = pairs.at(-1) ?? [[1], [1]], scale = pairs.length ? dot(s, y) / dot(y, y) : 1;
  way = way.map(v => scale * v);
  for (const [a, s, y] of steps.reverse()) way = plus(way, a - dot(y, way) / dot(s, y), s);
  return way;
}

// ------------------------------------------------------------------------------------------------------ the widget

function paint(plot, { template, target, found, time }) {
  const { muted, blue, orange, paper } = plot.colour, taken = Math.round(time * STEPS * 4);
  const given = { x0: template, p0: found.p0, sigma: found.sigma, steps: 4 * STEPS, taken };
  const moved = flow({ ...given, passengers: lattice(EDGE, EDGE, NODES, NODES) });
  const grid = moved.passengers, now = moved.path.at(-1);
  for (const i of range(NODES)) {
    for (const line of [range(NODES).map(j => grid[i * NODES + j]), range(NODES).map(j => grid[j * NODES + i])]) {
      plot.line(line, { colour: muted, width: 0.8, alpha: 0.45 });
    }
  }
  plot.line(template, { colour: muted, width: 1.6, dash: [2, 3] });
  template.forEach((_, i) => plot.line(moved.path.map(x => x[i]), { colour: blue, width: 1, alpha: 0.6 }));
  for (const [curve, colour, width, radius] of [[target, orange, 7, 6], [now, blue, 2.6, 3.4]]) { // the target lies behind
    plot.line(curve, { colour, width, alpha: width > 5 ? 0.45 : 1 });
    plot.dots(curve, { colour, radius, edge: paper });
  }
}
function told({ found, target, sigma, gamma, template }) {
  const end = flow({ x0: template, p0: found.p0, sigma, steps: STEPS }).path.at(-1);
  const off = end.map(([u, v], i) => Math.hypot(u - target[i][0], v - target[i][1]));
  const energy = 2 * hamiltonian(template, found.p0, sigma);
  return `J ${decimal(found.value, 2)} = γ × energy ${decimal(gamma * energy, 2)} + discrepancy ` +
    `${decimal(found.value - gamma * energy, 2)}. Points end ${decimal(off.reduce((a, b) => a + b) / off.length)} px from their ` +
    `targets on average, ${decimal(Math.max(...off))} px at most.`;
}

export default widget(ui => {
  let last = null; // the search goes on from the match before
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), asked = JSON.stringify(state);
    if (last?.asked !== asked) {
      const near = last && last.sigma === state.sigma ? last.z : null;
      last = { ...matched(state, near), asked, sigma: state.sigma };
    }
    return { ...state, found: last, time: ui.get("time") };
  });
  const plot = ui.plot({ x: [0, SIZE], y: [SIZE, 0], pad: 0, label: "A curve, its target, and the flow that brings it there" },
    p => p.within(() => paint(p, now())));
  const selected = () => ui.get("selected"), choose = by => () => ui.set({ selected: (selected() + by + 9) % 9 });
  ui.handle(plot, {
    label: () => `target of point ${selected() + 1}`,
    text: () => ui.get("target")[selected()].map((v, d) => `${"xy"[d]} ${decimal(v)}`).join(", "),
    at: () => ui.get("target")[selected()],
    to: at => ui.set({ target: ui.get("target").with(selected(), at.map(v => Math.round(10 * clamp(v, 5, SIZE - 5)) / 10)) }),
    step: [2, 2], keys: { PageDown: choose(1), PageUp: choose(-1) },
    near: at => plot.nearest(at, ui.get("target")), select: i => ui.set({ selected: i }),
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const tens = part(ui, () => Math.log10(ui.get("gamma")), v => ({ gamma: Number((10 ** v).toPrecision(2)) }));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, plot.node),
      h("div", {},
        h("div", { class: "sw-bar" }, ui.play({ seconds: 2 }), ui.reset("target", "sigma", "gamma", "terms", "time", "selected")),
        key([["sw-orange", "target: drag it"], ["sw-blue", "the template, moved"]]),
        tens.slider({ name: "gamma", label: "price of motion γ", ...POWERS, text: () => decimal(ui.get("gamma"), 3) }),
        ui.slider({ name: "sigma", label: "width σ of the flow", min: 15, max: 90, step: 1, text: v => `${decimal(v, 0)} px` }),
        ui.choice({ name: "terms", label: "matched by", options: TERMS }), said,
        more("Keys, and what is shown",
          hint("Drag an orange point. Keys move the ringed one: arrows by 2 px (Shift: 10), Page Up and Page Down the next " +
            "point. Dotted: the template before. Thin: the ways of its points."),
          ui.slider({ name: "time", label: "shown at time", min: 0, max: 1, step: 0.05, text: v => decimal(v, 2) })))),
    ui.status(() => told(now())),
  ];
});
