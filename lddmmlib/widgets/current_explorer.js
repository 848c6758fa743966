// Two curves as currents: what their norm adds up, and what it says of the distance between them.
import { coarsened, fieldAt, inner, lattice, minus, segments, split } from "./lddmm.js";
import { clamp, decimal, h, hint, percent, range, row, table, widget } from "./shared.js";

const STATE = ["a", "b", "sigma", "show"], MOVED = [...STATE, "curve", "selected"];
const SHOW = { difference: "A − B", a: "A", b: "B", none: "none" };
const COLUMNS = 19, ROWS = 15; // arrows of the field
const MOST = 65; // points that splitting may lead to
const NAMES = { a: "A", b: "B" };

/** The picture's sides: both curves with room around them, wider than high. */
export function framed(a, b) {
  const points = [...a, ...b], ratio = COLUMNS / ROWS;
  const sides = [0, 1].map(k => [Math.min(...points.map(p => p[k])), Math.max(...points.map(p => p[k]))]);
  const size = sides.map(([low, high]) => high - low), half = 0.72 * (Math.max(size[0] / ratio, size[1]) || 50);
  return sides.map(([low, high], k) => [-1, 1].map(s => (low + high) / 2 + s * half * (k ? 1 : ratio)));
}
/** Both squared norms, the inner product and the squared distance. */
export function measured({ a, b, sigma }) {
  const [A, B] = [segments(a), segments(b)], rest = minus(A, B);
  const sums = { a: [A, A], b: [B, B], inner: [A, B], distance: [rest, rest] };
  const values = Object.entries(sums).map(([name, [one, other]]) => [name, inner(one, other, sigma)]);
  return { A, B, rest, values: Object.fromEntries(values) };
}

function paintField(plot, { A, B, rest, show, sigma, frame }) {
  const field = { a: A, b: B, difference: rest }[show];
  if (!field) return;
  const nodes = lattice(...frame.map(([low, high], k) => {
    const edge = (high - low) / (2 * (k ? ROWS : COLUMNS));
    return [low + edge, high - edge];
  }), COLUMNS, ROWS);
  // One scale for the three fields, so that A - B is seen to fade as the curves meet.
  const strongest = Math.max(...nodes.flatMap(z => [A, B].map(of => Math.hypot(...fieldAt(of, z, sigma)))), 1e-9);
  const reach = 2 * (frame[0][1] - frame[0][0]) / COLUMNS / strongest;
  for (const z of nodes) {
    const v = fieldAt(field, z, sigma).map(each => each * reach / 2), [from, to] = [-1, 1].map(s => z.map((x, k) => x + s * v[k]));
    plot.arrow(from, to, { colour: plot.colour.green, width: 1.4, head: 6, alpha: 0.8 });
  }
}
/** The segments, with an arrow head at each one's middle, which is where its vector sits. */
function paintCurve(plot, points, { centres, vectors }, colour) {
  const { paper } = plot.colour;
  plot.line(points, { colour, width: 2.4 });
  centres.forEach((c, i) => {
    const by = 6.5 / plot.scaleX / (Math.hypot(...vectors[i]) || 1);
    const [from, to] = [-by, by].map(s => c.map((x, k) => x + s * vectors[i][k]));
    plot.arrow(from, to, { colour, width: 2.4, head: 13 });
  });
  plot.dots(points, { colour: paper, radius: 4, edge: colour });
  const [first] = points;
  plot.dots([first], { colour, radius: 4, edge: colour });
}
function paint(plot, now) {
  const { blue, purple, muted, line, ink } = plot.colour, { a, b, A, B, sigma, frame: [x, y] } = now;
  plot.line([[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]]], { colour: line, width: 2, close: true });
  paintField(plot, now);
  const centre = [x[0] + sigma + (x[1] - x[0]) * 0.03, y[1] - sigma - (y[1] - y[0]) * 0.03];
  const round = range(49).map(i => [centre[0] + sigma * Math.cos(i * Math.PI / 24), centre[1] + sigma * Math.sin(i * Math.PI / 24)]);
  plot.line(round, { colour: muted, width: 1, dash: [3, 3] });
  plot.line([centre, [centre[0] + sigma, centre[1]]], { colour: muted, width: 1 });
  plot.text("σ", [centre[0] + sigma / 2, centre[1]], { dy: -4, align: "center", colour: ink });
  paintCurve(plot, a, A, blue);
  paintCurve(plot, b, B, purple);
  for (const [points, words, colour] of [[a, "A", blue], [b, "B", purple]]) {
    plot.text(words, points[0], { dx: -9, dy: -9, align: "right", colour, weight: 700 });
  }
}

// --------------------------------------------------------------------------------------------------- the widget

function currentPlot(ui, now) {
  const { frame: [x, y] } = now(), ratio = COLUMNS / ROWS;
  const label = "Curves A and B, their segments as arrows, and the field of velocities that they stand for";
  const plot = ui.plot({ x, y: [y[1], y[0]], ratio, label, pad: 0 }, p => paint(p, now()));
  const all = () => ["a", "b"].flatMap(name => ui.get(name).map((point, i) => ({ name, i, point })));
  const mine = () => all().findIndex(({ name, i }) => name === ui.get("curve") &&
    i === Math.min(ui.get("selected"), ui.get(name).length - 1));
  const select = k => ui.set({ curve: all()[k].name, selected: all()[k].i });
  const choose = by => () => select((mine() + by + all().length) % all().length);
  ui.handle(plot, {
    label: () => `point ${ui.get("selected") + 1} of curve ${NAMES[ui.get("curve")]}`,
    text: () => all()[mine()].point.map((v, k) => `${"xy"[k]} ${decimal(v, 0)} px`).join(", "),
    now: () => all()[mine()].point[0],
    at: () => all()[mine()].point,
    to: ([u, v]) => {
      const name = ui.get("curve"), at = [clamp(u, ...x), clamp(v, ...y)];
      ui.set({ [name]: ui.get(name).with(ui.get("selected"), at) });
    },
    step: [1, 1],
    keys: { PageDown: choose(1), PageUp: choose(-1) },
    near: point => plot.nearest(point, all().map(each => each.point)),
    select,
  });
  return plot;
}
function numbers(ui, now) {
  const rows = { a: "‖A‖²", b: "‖B‖²", inner: "⟨A, B⟩", distance: "‖A − B‖²" };
  const cells = Object.fromEntries(Object.keys(rows).map(name => [name, [h("td"), h("td")]]));
  const made = Object.entries(rows).map(([name, words]) => row(words, cells[name]));
  return ui.keep(table(["", "px²", "% of ‖A‖²"], made.slice(0, -1), made.slice(-1)), () => {
    for (const name of Object.keys(rows)) {
      const { values } = now();
      cells[name][0].textContent = decimal(values[name], 0);
      cells[name][1].textContent = percent(values[name] / values.a, 0);
    }
  });
}
/** What is done to a whole curve. */
function edits(ui, name) {
  const set = points => ui.set({ [name]: points, selected: Math.min(ui.get("selected"), limit(points)) });
  const limit = points => (ui.get("curve") === name ? points.length - 1 : Infinity);
  const flip = ui.button("Flip", () => set([...ui.get(name)].reverse()));
  const more = ui.button("Split", () => set(split(ui.get(name))));
  const fewer = ui.button("Coarsen", () => set(coarsened(ui.get(name))));
  const words = h("span", { class: `sw-name sw-of-${name}` });
  const group = h("div", { class: "sw-bar sw-edits", role: "group", "aria-label": `curve ${NAMES[name]}` }, words, flip, more, fewer);
  return ui.keep(group, () => {
    const n = ui.get(name).length;
    words.textContent = `${NAMES[name]}, ${n} points`;
    more.disabled = 2 * n - 1 > MOST;
    fewer.disabled = n < 3;
  });
}
function told({ values }) {
  const [a, b, both, apart] = ["a", "b", "inner", "distance"].map(name => decimal(values[name], 0));
  return `Squared norms: A ${a}, B ${b}. Inner product ${both}. Squared distance ${apart} px².`;
}

export default widget(ui => {
  const frame = framed(ui.get("a"), ui.get("b"));
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)]));
    return { frame, ...state, ...measured(state) };
  });
  const width = frame[0][1] - frame[0][0], least = Math.max(1, Math.round(0.02 * width));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, currentPlot(ui, now).node,
        hint("Drag any point. Keys move the marked one: arrows (Shift: by 5 px), Page Up and Page Down (the next point). " +
          "Each curve begins at its letter. Green: Σ K(·, c) τ, what the segments τ make of the plane.")),
      h("div", {},
        ui.slider({ name: "sigma", label: "width σ of the kernel", min: least, max: Math.round(0.5 * width), step: 1,
          text: v => `${decimal(v, 0)} px` }),
        numbers(ui, now), edits(ui, "a"), edits(ui, "b"),
        ui.choice({ name: "show", label: "field of", options: SHOW }),
        h("div", { class: "sw-bar" }, ui.reset(...MOVED)))),
    ui.status(() => told(now())),
  ];
});
