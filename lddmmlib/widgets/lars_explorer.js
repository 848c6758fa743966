// Two or three arrows that together should reach a target, and the lasso's path through them.
import { along, correlations, path } from "./lars.js";
import { clamp, decimal, h, hint, more, part, range, rounded, row, table, widget } from "./shared.js";

const WIDE = 1.5; // half the picture
const STATE = ["columns", "target", "share", "turn", "tilt"], MOVED = [...STATE, "selected"];
const COLOURS = ["blue", "orange", "green"], NAMES = ["x₁", "x₂", "x₃"];
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

/** The rotation of space that is seen from in front; the plane is seen as it is. */
export function view({ target, turn, tilt }) {
  if (target.length === 2) return [[1, 0], [0, 1]];
  const [c, s, d, t] = [turn, tilt].flatMap(a => [Math.cos(a * Math.PI / 180), Math.sin(a * Math.PI / 180)]);
  return [[c, 0, s], [t * s, d, -t * c], [-d * s, t, d * c]];
}
/** The path, where the fit stands on it, and what the columns make of it. */
export function followed({ columns, target, share }) {
  const gram = columns.map(a => columns.map(b => dot(a, b))), xy = columns.map(a => dot(a, target));
  const knots = path(gram, xy), most = knots.at(-1).size, now = along(knots, "size", share * most);
  const fit = coefs => target.map((_, i) => coefs.reduce((sum, v, j) => sum + v * columns[j][i], 0));
  return { knots, most, now, fits: knots.map(knot => fit(knot.h)), fit: fit(now.h), gram, xy,
    correlations: correlations(gram, xy, now.h) };
}
const tips = ({ columns, target }) => [...columns, target];

// ------------------------------------------------------------------------------------------------- the pictures

function paintArrows(plot, now) {
  const { ink, muted, line, paper, purple } = plot.colour, turned = view(now), d = now.target.length;
  const seen = v => turned.slice(0, 2).map(r => dot(r, v)), zero = Array(d).fill(0);
  range(d).forEach(i => {
    const axis = zero.with(i, WIDE * 0.93);
    plot.line([axis.map(v => -v), axis].map(seen), { colour: line, width: 1 });
    if (d === 3) plot.text("abc"[i], seen(axis), { dx: 4, colour: muted });
  });
  if (d === 3) { // its floor tells where a tip lies
    const floor = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([u, v]) => seen([u, 0, v]));
    plot.line(floor, { colour: line, width: 1, close: true });
    for (const v of tips(now)) plot.line([v, v.with(1, 0)].map(seen), { colour: muted, width: 1, dash: [2, 3] });
  }
  const arrow = (v, words, colour) => {
    plot.arrow(seen(zero), seen(v), { colour: paper, width: 5, head: 12 });
    plot.arrow(seen(zero), seen(v), { colour, width: 2.6, head: 11 });
    const [x, y] = seen(v), size = Math.hypot(x, y) || 1;
    const beside = { dx: 17 * x / size, dy: -17 * y / size, align: "center", baseline: "middle" };
    plot.text(words, [x, y], { ...beside, colour, weight: 700 });
  };
  now.columns.forEach((v, j) => arrow(v, NAMES[j], plot.colour[COLOURS[j]]));
  arrow(now.target, "y", ink);
  const { fits, fit, now: { k } } = now, next = fits[k + 1];
  plot.line(fits.map(seen), { colour: purple, width: 1.4, dash: [3, 3] });
  plot.line([...fits.slice(0, k + 1), fit].map(seen), { colour: purple, width: 3.4 });
  plot.dots(fits.map(seen), { colour: paper, radius: 3.4, edge: purple });
  plot.line([fit, now.target].map(seen), { colour: muted, width: 1.4, dash: [5, 4] });
  if (next) { // where the path goes from here, for a while
    const way = next.map((v, i) => v - fits[k][i]), size = Math.hypot(...way) || 1;
    plot.arrow(seen(fit), seen(fit.map((v, i) => v + 0.35 * way[i] / size)), { colour: purple, width: 2.2, head: 9 });
  }
  plot.dots([fit].map(seen), { colour: purple, radius: 5.5, edge: paper });
}
/** Of each column a line over the path. Ties show as stripes. */
function pathPlot(ui, now, { label, title, of, widths = [2.4, 2.4, 2.4], drops }) {
  const shares = { ticks: [0, 0.5, 1], names: { 0.5: "½" }, grid: false, label: "|h|₁, share of its largest" };
  const axes = { x: shares, y: { ticks: [], label: title } };
  const share = knot => knot.size / (now().most || 1);
  const lines = () => now().columns.map((_, j) => now().knots.map(knot => [share(knot), of(knot, now())[j]]));
  const tall = () => rounded(lines().flat().map(p => p[1]));
  return ui.plot({ x: [0, 1], y: [0, 1], ratio: 1.9, axes, tall, label }, plot => {
    const { ink, muted, line, paper } = plot.colour, upright = (x, look) => plot.line(plot.ys.map(v => [x, v]), look);
    for (const knot of now().knots) upright(share(knot), { colour: line, width: 1 });
    plot.line([[0, 0], [1, 0]], { colour: muted, width: 1 });
    lines().forEach((points, j) => plot.line(points, { colour: plot.colour[COLOURS[j]], width: widths[j] }));
    upright(now().share, { colour: ink, width: 1.2, dash: [5, 4] });
    const gone = drops ? now().knots.filter(knot => knot.event && !knot.event.joins) : [];
    plot.dots(gone.map(knot => [share(knot), 0]), { colour: paper, radius: 4.5, edge: ink });
  });
}

// --------------------------------------------------------------------------------------------------- the widget

function arrowPlot(ui, now) {
  const label = "The columns and the target as arrows from the origin, and the way of the fit";
  const plot = ui.plot({ x: [-WIDE, WIDE], y: [-WIDE, WIDE], label, pad: 0 }, p => paintArrows(p, now()));
  const mine = () => Math.min(ui.get("selected"), now().columns.length);
  const seen = v => view(now()).slice(0, 2).map(r => dot(r, v));
  const name = i => (i === now().columns.length ? "target y" : `arrow ${NAMES[i]}`);
  const put = (i, v) => ui.set(i === now().columns.length ? { target: v } : { columns: ui.get("columns").with(i, v) });
  const choose = by => () => ui.set({ selected: (mine() + by + tips(now()).length) % tips(now()).length });
  ui.handle(plot, {
    label: () => name(mine()),
    text: () => tips(now())[mine()].map(v => decimal(v, 2)).join(", "),
    now: () => Math.hypot(...tips(now())[mine()]),
    bounds: [0, 2 * WIDE],
    at: () => seen(tips(now())[mine()]),
    to: at => { // in the plane of the screen, the depth is kept
      const turned = view(now()), old = tips(now())[mine()], from = seen(old);
      const by = [0, 1].map(k => clamp(at[k], -0.93 * WIDE, 0.93 * WIDE) - from[k]);
      const moved = old.map((v, i) => clamp(v + turned[0][i] * by[0] + turned[1][i] * by[1], -WIDE, WIDE));
      put(mine(), moved.map(v => Math.round(1e4 * v) / 1e4));
    },
    step: [0.05, 0.05],
    keys: { PageDown: choose(1), PageUp: choose(-1) },
    near: point => plot.nearest(point, tips(now()).map(seen)),
    select: i => ui.set({ selected: i }),
    look: "mark",
  });
  return plot;
}
const said = ({ event }) => (event ? `${NAMES[event.j]} ${event.joins ? "joins" : "drops"}` : "least squares");
/** A table whose rows come and go. */
function growing(ui, head, rows) {
  const node = table(head, []);
  return ui.keep(node, () => node.tBodies[0].replaceChildren(...rows()));
}
const cells = words => words.map(each => h("td", {}, each));
const numbers = (ui, now) => growing(ui, ["", "h", "correlation c", "|c| = λ"], () => now().columns.map((_, j) => {
  const c = now().correlations[j], tied = Math.abs(Math.abs(c) - now().now.lambda) < 1e-6;
  const head = h("span", {}, h("span", { class: `sw-swatch sw-${COLOURS[j]}` }), NAMES[j]);
  return row(head, cells([decimal(now().now.h[j], 3), decimal(c, 3), tied ? "yes" : "no"]));
}));
const events = (ui, now) => growing(ui, ["knot", "λ", "|h|₁"], () => now().knots.map((knot, k) => {
  const line = row(said(knot), cells([decimal(knot.lambda, 3), decimal(knot.size, 3)]));
  line.className = k === now().now.k ? "sw-chosen" : "";
  return line;
}));
function told({ now, knots, correlations: c }) {
  return `${said(knots[now.k])}. λ ${decimal(now.lambda, 3)}, |h|₁ ${decimal(now.size, 3)}. ` +
    now.h.map((v, j) => `${NAMES[j]}: coefficient ${decimal(v, 3)}, correlation ${decimal(c[j], 3)}`).join("; ") + ".";
}

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { ...state, ...followed(state) };
  });
  const to = size => ({ share: clamp(size / (now().most || 1), 0, 1) });
  const lambda = part(ui, () => (now().now.lambda / (now().knots[0].lambda || 1)), v =>
    to(along(now().knots, "lambda", v * now().knots[0].lambda).size));
  const whole = { name: "share", min: 0, max: 1, step: 0.005 };
  const step = by => () => {
    const sizes = now().knots.map(knot => knot.size), close = 1e-9 * (now().most || 1);
    const there = by > 0 ? sizes.find(v => v > now().now.size + close) : sizes.findLast(v => v < now().now.size - close);
    if (there !== undefined) ui.set(to(there));
  };
  const angle = (name, label, most) =>
    ui.slider({ name, label, min: -most, max: most, step: 5, text: v => `${decimal(v, 0)}°` });
  const turns = h("div", {}, angle("turn", "turn", 180), angle("tilt", "tilt", 90));
  ui.keep(turns, () => { turns.hidden = now().target.length === 2; });
  const examples = Object.entries(ui.get("examples")).map(([words, example]) =>
    ui.button(words, () => ui.set({ ...structuredClone(example), selected: 0 })));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, arrowPlot(ui, now).node,
        ui.slider({ ...whole, label: "budget |h|₁", text: () => decimal(now().now.size, 3) }),
        h("div", { class: "sw-bar" }, ui.play({ name: "share", seconds: 4 }), ui.button("Knot before", step(-1)),
          ui.button("Next knot", step(1))),
        turns,
        hint("Drag a tip. Keys move the ringed one: arrows (Shift: five times as far), Page Up and Page Down (the next " +
          "tip). Purple: the way of the fit X h; its arrow: where it goes on. Dashed: what is left, y − X h."),
        h("div", { class: "sw-bar" }, ...examples, ui.reset(...MOVED)),
        more("The multiplier λ instead of the budget",
          lambda.slider({ ...whole, label: "multiplier λ", text: () => decimal(now().now.lambda, 3) }))),
      h("div", {},
        pathPlot(ui, now, { label: "Coefficients over the path", title: "coefficients h", drops: true,
          of: knot => knot.h }).node,
        pathPlot(ui, now, { label: "Absolute correlations over the path", title: "correlations |c|",
          widths: [6.5, 3.8, 1.6], of: (knot, { gram, xy }) => correlations(gram, xy, knot.h).map(Math.abs) }).node,
        more("The numbers", numbers(ui, now), events(ui, now)),
        hint("Correlations c = Xᵀ(y − X h) that are tied lie on each other, as stripes. A ring: an arrow drops."))),
    ui.status(() => told(now())),
  ];
});
