// One map descends by gradient, twice: by the loss of the reader's choice, and by the Wasserstein distance to the target.
import { behindSoftmax, blob, sinkhorn } from "./transport.js";
import { clamp, decimal, h, hint, key, range, widget } from "./shared.js";

export const SIDE = 16, STEPS = 100;
const GRID = { w: SIDE, h: SIDE }, N = SIDE * SIDE, NARROW = 1.5; // cells: the width of the map at the start
const STATE = ["start", "target", "sigma", "rival", "way", "eps"], MOVED = ["target", "rival", "way", "time"];
const RIVALS = { l2: "L2 behind a softmax", raw: "L2 of raw values", cross_entropy: "cross-entropy" };
const WAYS = { gaussian: "to the Gaussian, by Sinkhorn", point: "to the point, in closed form" };
const place = i => [i % SIDE, Math.floor(i / SIDE)];

/** torch.optim.Adam on one array: step(gradient) changes x in place. */
function adam(x, rate) {
  const [m, s] = [new Float64Array(x.length), new Float64Array(x.length)];
  let [a, b] = [1, 1];
  return gradient => {
    a *= 0.9;
    b *= 0.999;
    gradient.forEach((g, i) => {
      m[i] = 0.9 * m[i] + 0.1 * g;
      s[i] = 0.999 * s[i] + 0.001 * g * g;
      x[i] -= rate * (m[i] / (1 - a)) / (Math.sqrt(s[i] / (1 - b)) + 1e-8);
    });
  };
}
function softmax(s) {
  const most = Math.max(...s), weights = s.map(v => Math.exp(v - most)), total = weights.reduce((a, b) => a + b);
  return weights.map(w => w / total);
}
function shares(x) {
  const kept = x.map(v => Math.max(v, 0)), total = kept.reduce((a, b) => a + b);
  return kept.map(v => v / total);
}
/** The gradient of each loss in the values x, whose map is u; v is the target's map, y its place. */
const GRADIENTS = {
  l2: ({ u, v }) => behindSoftmax(u, u.map((a, i) => 2 * (a - v[i]))),
  raw: ({ x, v, most }) => x.map((a, i) => 2 * (a - v[i] / most)),
  cross_entropy: ({ u, v }) => u.map((a, i) => a - v[i]),
  gaussian: it => {
    const found = sinkhorn(it.u, it.v, it.eps, GRID, { tol: 1e-6, from: it.from });
    it.from = found.g; // the next step's potentials are nearly the same
    return behindSoftmax(it.u, found.f);
  },
  point: ({ u, y }) => behindSoftmax(u, u.map((_, i) => Math.hypot(place(i)[0] - y[0], place(i)[1] - y[1]))),
};
/** The descent by a loss: at(k) is the map after k steps, computed when it is first asked for. */
export function descent(name, { start, target, sigma, eps }) {
  const first = blob(start, NARROW, SIDE), raw = name === "raw", map = raw ? shares : softmax;
  const x = raw ? first.map(m => m / Math.max(...first)) : first.map(m => Math.log(m + 1e-6));
  const v = blob(target, sigma, SIDE), it = { x, v, y: target, eps, most: Math.max(...v) };
  const step = adam(x, raw ? 0.02 : 0.2), maps = [map(x)];
  return k => {
    while (maps.length <= k) {
      it.u = maps.at(-1);
      step(GRADIENTS[name](it));
      maps.push(map(x));
    }
    return maps[k];
  };
}
export function barycentre(u) {
  return [0, 1].map(d => u.reduce((sum, m, i) => sum + m * place(i)[d], 0));
}
const apart = ([a, b], [c, d]) => Math.hypot(a - c, b - d);
/** How far the barycentre and the largest value of a map are from the target, cells. */
export const off = (u, target) => [apart(barycentre(u), target), apart(place(u.indexOf(Math.max(...u))), target)];
/** Both maps after k steps; for the tests. */
export const race = (state, k) => ({ rival: [...descent(state.rival, state)(k)], w: [...descent(state.way, state)(k)] });

// ------------------------------------------------------------------------------------------------- the pictures

const square = ([x, y], r = 0.5) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [x + a * r, y + b * r]);
const ring = ([x, y], r) => range(49).map(k => 2 * Math.PI * k / 48).map(t => [x + r * Math.cos(t), y + r * Math.sin(t)]);
function paintMap(plot, u, { start, target, sigma }, colour) {
  const { line, ink, green, paper, muted } = plot.colour, most = Math.max(...u);
  plot.within(() => {
    for (const k of range(SIDE + 1).map(i => i - 0.5)) {
      for (const ends of [[[k, -0.5], [k, SIDE]], [[-0.5, k], [SIDE, k]]]) plot.line(ends, { colour: line, width: 0.5 });
    }
    u.forEach((m, i) => {
      const alpha = 0.95 * Math.sqrt(m / most);
      if (alpha > 0.01) plot.line(square(place(i)), { fill: colour, alpha, close: true });
    });
    plot.line(ring(start, 2 * NARROW), { colour: muted, width: 1.2, dash: [4, 4] });
    plot.line(ring(target, 2 * sigma), { colour: green, width: 2 });
    plot.line(square(place(u.indexOf(most))), { colour: ink, width: 1.5, close: true });
    const [x, y] = barycentre(u), r = 5 / plot.scaleX;
    for (const look of [{ colour: paper, width: 4.5 }, { colour: ink, width: 2 }]) {
      for (const s of [1, -1]) plot.line([[x - r, y - s * r], [x + r, y + s * r]], look);
    }
  });
}
const LINES = [["rival", "orange"], ["w", "blue"]];
function paintCurves(plot, now) {
  const { ink } = plot.colour;
  plot.within(() => LINES.forEach(([name, colour]) => {
    plot.line(now[name].map(([d], k) => [k, d]), { colour: plot.colour[colour], width: 2.4 });
    plot.line(now[name].map(([, d], k) => [k, d]), { colour: plot.colour[colour], width: 1.2, dash: [3, 3] });
  }));
  plot.line([[now.k, 0], [now.k, plot.ys[1]]], { colour: ink, width: 1 });
  LINES.forEach(([name, colour]) => plot.dots([[now.k, now[name][now.k][0]]],
    { colour: plot.colour[colour], radius: 4.5, edge: plot.colour.paper }));
}

// --------------------------------------------------------------------------------------------------- the widget

function mapPlot(ui, now, name, colour) {
  const edges = [-0.5, SIDE - 0.5], words = name === "w" ? "W" : "the other loss";
  const label = `The map that descends by ${words}, and the target`;
  const plot = ui.plot({ x: edges, y: [...edges].reverse(), label, pad: 0 },
    p => paintMap(p, now().maps[name], now(), p.colour[colour]));
  ui.handle(plot, {
    label: () => `target, under ${words}`,
    text: () => ui.get("target").map((v, k) => `${"xy"[k]} ${decimal(v)}`).join(", "),
    at: () => ui.get("target"),
    to: at => ui.set({ target: at.map(v => Math.round(10 * clamp(v, 0, SIDE - 1)) / 10) }),
    step: [0.5, 0.5], coarse: 4, look: "truth",
  });
  return plot;
}
const told = ({ k, rival, w }) => {
  const far = ([bc, most]) => `${decimal(bc)} cells off on the mean, ${decimal(most)} at its largest value`;
  return `After ${k} steps: the other loss ${far(rival[k])}; W ${far(w[k])}.`;
};
export default widget(ui => {
  let known = null; // one race: asked for its next steps while it plays, run anew when the target moves
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), name = JSON.stringify(state);
    if (known?.name !== name) {
      const way = of => ({ at: descent(of, state), off: [] });
      known = { name, rival: way(state.rival), w: way(state.way) };
    }
    const k = Math.round(ui.get("time") * STEPS), done = ({ at, off: seen }) => {
      while (seen.length <= k) seen.push(off(at(seen.length), state.target));
      return seen;
    };
    return { ...state, k, rival: done(known.rival), w: done(known.w), maps: { rival: known.rival.at(k), w: known.w.at(k) } };
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const name = ui.keep(h("h4"), () => { name.textContent = RIVALS[ui.get("rival")]; });
  const axes = { x: { ticks: [0, 25, 50, 75, 100], label: "step" }, y: { ticks: [0, 5, 10, 15], label: "from the target (cells)" } };
  const curves = ui.plot({ x: [0, STEPS], y: [0, 16], ratio: 1.9, axes, label: "How far from the target each map is, over the steps" },
    p => paintCurves(p, now()));
  return [
    h("div", { class: "sw-race" },
      h("div", {}, name, mapPlot(ui, now, "rival", "orange").node),
      h("div", {}, h("h4", {}, "Wasserstein"), mapPlot(ui, now, "w", "blue").node)),
    h("div", { class: "sw-bar" }, ui.play({ seconds: 8 }), ui.reset(...MOVED)),
    hint("Drag the green ring, the target, in either map. Keys: arrows by half a cell (Shift: 2 cells). × the map's mean, " +
      "□ its largest value, dashed where it started."),
    h("div", { class: "sw-pair" },
      h("div", {}, curves.node, key([["sw-orange", "the other loss"], ["sw-blue", "Wasserstein; solid ×, dotted □"]]), said),
      h("div", {},
        ui.slider({ name: "time", label: "shown after", min: 0, max: 1, step: 1 / STEPS,
          text: v => `${decimal(STEPS * v, 0)} steps` }),
        ui.choice({ name: "rival", label: "the other loss", options: RIVALS }),
        ui.choice({ name: "way", label: "Wasserstein", options: WAYS }))),
    ui.status(() => told(now())),
  ];
});
