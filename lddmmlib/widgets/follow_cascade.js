// A cascade on a drawn face, stage by stage: what a landmark's descriptor sees, and what it votes for.
import { decimal, h, hint, key, mean, percent, range, row, table, widget } from "./shared.js";

const MOVED = ["face", "time", "selected"], GIVEN = ["pictures", "votes", "sizes", "sides", "patch", "shapes", "truth", "scales", "taught"];
const GAIN = 20; // how many times as long as it is a vote's arrow is drawn
const LIGHT = { 1: "#7cc7ff", 2: "#ff9a52", 3: "#45e0a8" }; // on a grey picture, whatever the theme
const SETS = { 1: ["sw-blue", "68 points alone"], 2: ["sw-orange", "74 points alone"], 3: ["sw-green", "both sets"] };
const bytes = data => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : Uint8Array.from(data));

/** The stage, from 0, whose square and votes are shown: the next one, and the last one at the end. */
export const stageOf = ({ time, sides }) => Math.min(Math.floor(time * sides.length + 1e-9), sides.length - 1);
/** The landmarks at a time, in shares of the face's square. */
export function shapeAt({ time, sides, shapes, face }) {
  const k = stageOf({ time, sides }), t = time * sides.length - k, [from, to] = [shapes[face][k], shapes[face][k + 1]];
  return from.map((p, i) => p.map((v, d) => v + t * (to[i][d] - v)));
}
/** The shift of every landmark that one of them votes for in the present stage. */
export function voteOf({ votes, scales, face, time, sides, taught }, landmark) {
  const p = taught.length, k = stageOf({ time, sides }), all = bytes(votes), unit = scales[face][k] / 127;
  const start = ((face * sides.length + k) * p + landmark) * 2 * p;
  return range(p).map(j => [0, 1].map(d => unit * (all[start + 2 * j + d] << 24 >> 24)));
}
/** The gray picture that the present stage sees: its side n and its n x n numbers. */
export function cropOf({ pictures, sizes, sides, face, time }) {
  const side = sides[stageOf({ time, sides })], k = sizes.indexOf(Math.round(side * sizes.at(-1) / Math.max(...sides)));
  const squares = sizes.map(n => n * n), before = list => list.reduce((a, b) => a + b, 0);
  const at = face * before(squares) + before(squares.slice(0, k));
  return { n: sizes[k], data: bytes(pictures).subarray(at, at + squares[k]) };
}
const BLUR = Math.sqrt(1.6 ** 2 - 0.5 ** 2), TAPS = range(13).map(i => Math.exp(-((i - 6) ** 2) / (2 * BLUR ** 2)));
/** A Gaussian blur of an n x n picture, whose border is mirrored. */
export function blurred(data, n) {
  const sum = TAPS.reduce((a, b) => a + b), at = i => (i < 0 ? -i : i > n - 1 ? 2 * (n - 1) - i : i);
  const pass = (from, step, across) => Float64Array.from({ length: n * n }, (_, q) => {
    const i = Math.floor(q / step) % n, rest = q - i * step;
    return TAPS.reduce((total, w, t) => total + w * from[rest + at(i + t - 6) * step], 0) / sum;
  });
  return pass(pass(data, 1), n);
}
/** The 128 numbers of a SIFT descriptor of fixed scale and direction: those of `shape_indexed.features_by_loops`. */
export function descriptor(image, n, [x, y], patch) {
  const cell = patch / 4, even = v => (v % 1 === 0.5 && Math.floor(v) % 2 === 0 ? Math.floor(v) : Math.round(v));
  const x0 = even(x), y0 = even(y), reach = Math.round(2.5 * cell * Math.SQRT2), votes = new Float64Array(128);
  for (let r = Math.max(1, y0 - reach); r < Math.min(n - 1, y0 + reach + 1); r++) {
    for (let c = Math.max(1, x0 - reach); c < Math.min(n - 1, x0 + reach + 1); c++) {
      const dx = image[r * n + c + 1] - image[r * n + c - 1], dy = image[(r - 1) * n + c] - image[(r + 1) * n + c];
      const u = (c - x0) / cell, v = (r - y0) / cell, weight = Math.hypot(dx, dy) * Math.exp(-(u * u + v * v) / 8);
      const place = [v + 1.5, u + 1.5, 8 * ((Math.atan2(dy, dx) / (2 * Math.PI) + 1) % 1)], low = place.map(Math.floor);
      for (let corner = 0; corner < 8; corner++) {
        const [i, j, k] = low.map((v, d) => v + (corner >> d & 1));
        if (i < 0 || i > 3 || j < 0 || j > 3) continue;
        votes[(4 * i + j) * 8 + k % 8] += weight * [i, j, k].reduce((w, v, d) => w * (1 - Math.abs(place[d] - v)), 1);
      }
    }
  }
  const long = list => Math.hypot(...list) || 1, most = 0.2 * long(votes), cut = votes.map(v => Math.min(v, most)), size = long(cut);
  return cut.map(v => v / size);
}
/** Pixels of a crop of the stage's face from shares of its square. */
const pixels = (p, { n, side }) => p.map(v => side * (v - 0.5) + (n - 1) / 2);
/** What the page says of a state; for the tests, too. */
export function told(state) {
  const found = shapeAt(state), truth = state.truth[state.face], k = stageOf(state), step = state.shapes[state.face];
  const off = found.map((p, i) => Math.hypot(...p.map((v, d) => v - truth[i][d])));
  const vote = voteOf(state, state.selected), sizes = vote.map(v => Math.hypot(...v));
  const most = sizes.indexOf(Math.max(...sizes));
  const shift = step[k + 1][state.selected].map((v, d) => v - step[k][state.selected][d]);
  return { found, vote, most, sizes, shift, stage: k, error: mean(off),
    errors: [1, 2, 3].map(set => mean(off.filter((_, i) => state.taught[i] === set))) };
}

// ------------------------------------------------------------------------------------------------- the pictures

function sheet(data, n) {
  const canvas = h("canvas", { width: n, height: n });
  const rgba = Uint8ClampedArray.from({ length: 4 * n * n }, (_, i) => (i % 4 < 3 ? data[i >> 2] : 255));
  canvas.getContext("2d").putImageData(new ImageData(rgba, n, n), 0, 0);
  return canvas;
}
const box = ([x, y], r) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [x + a * r, y + b * r]);
function image(plot, picture, [x0, y0], [x1, y1], smooth) {
  const [left, top] = plot.at([x0, y0]), [right, bottom] = plot.at([x1, y1]);
  plot.g.imageSmoothingEnabled = smooth;
  plot.g.drawImage(picture, left, top, right - left, bottom - top);
}
function paintFace(plot, now) {
  const { found, truth, lines, taught, vote, selected, patch, side, n } = now, e = n / side / 2;
  image(plot, now.picture, [0.5 - e, 0.5 - e], [0.5 + e, 0.5 + e], true);
  for (const line of lines) plot.line(line.map(i => truth[i]), { colour: "#fff", width: 1.2, alpha: 0.55 });
  found.forEach((p, i) => plot.arrow(p, p.map((v, d) => v + GAIN * vote[i][d]), { colour: "#fff", width: 1.6, head: 5 }));
  for (const set of [1, 2, 3]) {
    plot.dots(found.filter((_, i) => taught[i] === set), { colour: LIGHT[set], radius: 3, edge: "#000" });
  }
  plot.line(box(now.seen, patch / side / 2), { colour: "#000", width: 4, close: true });
  plot.line(box(now.seen, patch / side / 2), { colour: "#fff", width: 2, close: true });
}
function paintPatch(plot, { picture, n, patch, at, numbers }) {
  const r = patch / 2, [x, y] = at.map(Math.round); // the middle of pixel (x, y) is the middle of the plot
  plot.within(() => image(plot, picture, [-0.5 - x, -0.5 - y].map(v => v / r), [n - 0.5 - x, n - 0.5 - y].map(v => v / r), false));
  for (const v of [-1, -0.5, 0, 0.5, 1]) {
    plot.line([[v, -1], [v, 1]], { colour: plot.colour.line, width: 1, alpha: 0.7 });
    plot.line([[-1, v], [1, v]], { colour: plot.colour.line, width: 1, alpha: 0.7 });
  }
  const most = Math.max(...numbers) || 1;
  range(16).forEach(c => range(8).forEach(k => {
    const long = 0.24 * numbers[8 * c + k] / most, turn = k * Math.PI / 4;
    const middle = [c % 4, Math.floor(c / 4)].map(v => (v - 1.5) / 2);
    const end = [middle[0] + long * Math.cos(turn), middle[1] - long * Math.sin(turn)];
    plot.line([middle, end], { colour: "#000", width: 4, alpha: 0.6 });
    plot.line([middle, end], { colour: "#ffd84d", width: 2 });
  }));
}

// --------------------------------------------------------------------------------------------------- the widget

const way = ([dx, dy]) => `${percent(Math.abs(dx))} % ${dx < 0 ? "left" : "right"}, ${percent(Math.abs(dy))} % ${dy < 0 ? "up" : "down"}`;
function words(now) {
  const { stage, side, selected, names, vote, shift, most, sizes, taught } = now, next = `Stage ${stage + 1}`;
  return `${next}, on a face of ${decimal(side, 0)} px. Landmark ${selected}, ${names[selected]}, labelled by ${SETS[taught[selected]][1]}. ` +
    `All squares together move it ${way(shift)}; its own votes for ${way(vote[selected])}. ` +
    `Its largest vote, ${percent(sizes[most])} %, is for ${most === selected ? "itself" : `landmark ${most}, ${names[most]}`}.`;
}
function facePlot(ui, now) {
  const { n, side } = now(), e = n / side / 2, p = now().taught.length;
  const plot = ui.plot({ x: [0.5 - e, 0.5 + e], y: [0.5 + e, 0.5 - e], pad: 0,
    label: "The face, its landmarks now, the square of one of them and its votes as arrows" }, q => paintFace(q, now()));
  const by = d => () => ui.set({ selected: (now().selected + d + p) % p }), [next, before] = [by(1), by(-1)];
  ui.handle(plot, {
    label: () => "landmark that votes",
    text: () => `landmark ${now().selected}, ${now().names[now().selected]}`,
    now: () => now().selected,
    bounds: [0, p - 1],
    at: () => now().found[now().selected],
    to: () => {}, // it is chosen, not moved
    step: [0, 0],
    keys: { ArrowRight: next, ArrowDown: next, PageDown: next, ArrowLeft: before, ArrowUp: before, PageUp: before },
    near: point => plot.nearest(point, now().found),
    select: selected => ui.set({ selected }),
    look: "mark",
  });
  return plot;
}
function numbers(ui, now) {
  const cells = range(4).map(() => h("td")), names = [1, 2, 3].map(set => SETS[set][1]);
  return ui.keep(table(["landmarks labelled by", "error now (% of the face)"], [...names, "all"].map((name, i) => row(name, [cells[i]]))), () => {
    const { errors, error } = now();
    [...errors, error].forEach((v, i) => { cells[i].textContent = `${percent(v, 2)} %`; });
  });
}
export default widget(ui => {
  const given = Object.fromEntries([...GIVEN, "lines", "names"].map(name => [name, ui.get(name)]));
  let known = null; // blurred and painted only where the picture is another one
  const now = ui.memo(() => {
    const state = { ...given, ...Object.fromEntries(MOVED.map(name => [name, ui.get(name)])) };
    const side = state.sides[stageOf(state)], { n, data } = cropOf(state), name = `${state.face} ${n}`;
    if (known?.name !== name) known = { name, picture: sheet(data, n), soft: blurred(data, n) };
    const said = told(state), seen = state.shapes[state.face][said.stage][state.selected], at = pixels(seen, { n, side });
    return { ...state, ...said, ...known, n, side, seen, at, truth: state.truth[state.face],
      numbers: descriptor(known.soft, n, at, state.patch) };
  });
  const stages = given.sides.length, faces = Object.fromEntries(given.shapes.map((_, i) => [i, `${i + 1}`]));
  const chosen = Object.assign(Object.create(ui), { get: name => String(ui.get(name)), set: ({ face }) => ui.set({ face: Number(face) }) });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = words(now()); });
  const when = t => (t * stages % 1 > 0.001 ? `stage ${Math.ceil(t * stages)} moves` : t ? `after stage ${Math.round(t * stages)}` : "mean shape");
  const patch = ui.plot({ x: [-1, 1], y: [1, -1], pad: 1, label: "What the landmark sees, and its histograms of directions" },
    p => paintPatch(p, now()));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, facePlot(ui, now).node,
        key([1, 2, 3].map(set => SETS[set])),
        hint(`Press a landmark, or the arrow keys on its ring. Square: what its descriptor sees. Arrows: its votes, ${GAIN} times as long. White lines: the truth.`)),
      h("div", {},
        ui.slider({ name: "time", label: "stages", min: 0, max: 1, step: 1 / stages, text: when }),
        h("div", { class: "sw-bar" }, ui.play({ seconds: stages }), ui.reset(...MOVED)),
        chosen.choice({ name: "face", label: "face", options: faces }),
        h("div", { class: "sw-sees" }, patch.node, said),
        numbers(ui, now))),
    ui.status(() => `${when(now().time)}: mean error ${percent(now().error, 2)} % of the face. ${words(now())}`),
  ];
});
