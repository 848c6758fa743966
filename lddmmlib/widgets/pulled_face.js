// A face that is pulled: each pull is a flow of one momentum, and curves, grid and landmarks ride along.
import { cells, flow, lattice, minSteps } from "./lddmm.js";
import { clamp, decimal, h, hint, range, way, widget } from "./shared.js";

const SIZE = 300, SIGMA = 38, FEWEST = 6, MOST = 60; // px, px, steps, pulls
const NODES = 31, EDGE = [4, SIZE - 4]; // of the grid
const GRIPS = { "the corner of the mouth": 54, "the chin": 8, "the nose": 30, "an eyebrow": 19, "an eye": 36, "the jaw": 3 };
const NAMES = Object.keys(GRIPS), SCHEMES = { none: "none", 29: "29", 68: "68", 98: "98", 194: "194" };

/** Where the pulls, as far as `time`, carry places of the plane, each pull in steps that are sure to fold nothing. */
export function moved(places, pulls, time = 1) {
  return pulls.reduce((at, [x, y, dx, dy], i) => {
    const done = clamp(time * pulls.length - i, 0, 1);
    if (!done || !(dx || dy)) return at;
    const given = { x0: [[x, y]], p0: [[done * dx, done * dy]], sigma: SIGMA, method: "rk2", model: "flow" };
    return flow({ ...given, steps: Math.max(FEWEST, minSteps(given)), passengers: at }).passengers;
  }, places);
}
/** All that is shown: grid, curves and landmarks after the pulls, and how much the smallest and largest cell changed. */
export function shown({ curves, landmarks, scheme, pulls, time }) {
  const nodes = lattice(EDGE, EDGE, NODES, NODES), points = landmarks[scheme] ?? [], lengths = curves.map(c => c.length);
  const at = moved([...nodes, ...points, ...curves.flat()], pulls, time), rest = at.slice(nodes.length + points.length);
  const dets = cells(at.slice(0, nodes.length), NODES, ((EDGE[1] - EDGE[0]) / (NODES - 1)) ** 2).map(c => c.det);
  return {
    grid: at.slice(0, nodes.length), points: at.slice(nodes.length, nodes.length + points.length),
    curves: lengths.map((n, i) => rest.slice(i * n, (i + 1) * n)), least: Math.min(...dets), most: Math.max(...dets),
  };
}

function paint(plot, { grid, points, curves }) {
  const { ink, muted, blue, paper } = plot.colour;
  for (const i of range(NODES)) {
    const [across, down] = [range(NODES).map(j => grid[i * NODES + j]), range(NODES).map(j => grid[j * NODES + i])];
    for (const line of [across, down]) plot.line(line, { colour: muted, width: 0.8, alpha: 0.45 });
  }
  for (const curve of curves) plot.line(curve, { colour: ink, width: 2.6 });
  plot.dots(points, { colour: blue, radius: 3.2, edge: paper });
}
function told({ pulls, least, most, time }) {
  const n = pulls.filter(([, , dx, dy]) => dx || dy).length, percent = v => `${decimal(100 * Math.max(v, 0), 0)} %`;
  const made = n === 1 ? "1 pull, one momentum" : `${n} pulls, one momentum each`;
  return `${n && time < 1 ? "On the way: " : ""}${made}. The smallest cell of the grid has ${percent(least)} of its ` +
    `area, the largest ${percent(most)}. Nothing is torn, nothing folded.`;
}

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(["curves", "landmarks", "scheme", "pulls", "time"].map(name => [name, ui.get(name)]));
    return { ...state, ...shown(state) };
  });
  const plot = ui.plot({ x: [0, SIZE], y: [SIZE, 0], pad: 0,
    label: "A face in lines on a grid; both give way to where the face is pulled" }, p => p.within(() => paint(p, now())));
  let grip = 0; // which of the named places the keyboard pulls
  const place = () => ui.get("landmarks")[68][GRIPS[NAMES[grip]]], last = () => ui.get("pulls").at(-1) ?? [...place(), 0, 0];
  const begin = ([x, y]) => {
    const before = ui.get("pulls").filter(([, , dx, dy]) => dx || dy).slice(-MOST + 1);
    ui.set({ pulls: [...before, [x, y, 0, 0]], time: 1 });
  };
  const pullTo = to => {
    const [x, y] = last(), [u, v] = to.map(w => clamp(w, 8, SIZE - 8));
    ui.set({ pulls: [...ui.get("pulls").slice(0, -1), [x, y, u - x, v - y].map(w => Math.round(10 * w) / 10)], time: 1 });
  };
  const choose = by => () => {
    grip = (grip + by + NAMES.length) % NAMES.length;
    begin(moved([place()], ui.get("pulls"))[0]);
  };
  ui.handle(plot, {
    label: () => `pull, at ${NAMES[grip]} with the keyboard`,
    text: () => way(last().slice(2)),
    now: () => Math.hypot(...last().slice(2)), bounds: [0, SIZE],
    at: () => [last()[0] + last()[2], last()[1] + last()[3]],
    to: pullTo, step: [2, 2], keys: { PageDown: choose(1), PageUp: choose(-1) },
    near: at => (plot.nearest(at, [...now().curves.flat(), ...now().points]) === null ? null : at),
    select: begin,
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const undo = () => ui.set({ pulls: ui.get("pulls").slice(0, -1), time: 1 });
  return [
    h("div", { class: "sw-pull" },
      plot.node,
      h("div", {},
        hint("Drag the ring, or any line. Each pull is one momentum, and its flow moves the whole plane: lines bend and " +
          "never cross, and every landmark finds its place, whatever the annotation."),
        h("div", { class: "sw-bar" }, ui.play({ seconds: 3 }), ui.button("Undo", undo),
          ui.button("A new face", () => ui.set({ pulls: [], time: 1 }))),
        ui.choice({ name: "scheme", label: "landmarks of an annotation with", options: SCHEMES }),
        said)),
    ui.status(() => told(now())),
  ];
});
