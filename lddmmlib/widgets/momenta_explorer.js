// A trained network that runs in the page: momenta that it reads off a face, on the mean face, and the flow they make.
import { MARGIN, fromCrop, input, square } from "./crops.js";
import { flow } from "./lddmm.js";
import { network, run } from "./network.js";
import { firstBox, photographs, placing, readPicture } from "./photograph.js";
import { clamp, decimal, h, hint, percent, range, way, widget } from "./shared.js";

const STATE = ["mean", "curves", "controls", "sigma", "schemes", "scheme", "model", "pulls", "time", "gain"];
const MOVED = ["face", "box", "scheme", "model", "pulls", "time", "selected"];
/** How momenta move the face: as the network was trained, exactly so, and by the geodesic that they start. */
const MODELS = {
  released: { model: "flow", method: "euler", steps: 2 },
  constant: { model: "flow", method: "rk2", steps: 20 },
  shoot: { model: "shoot", method: "rk2", steps: 20 },
};
const WORDS = { released: "two Euler steps, as trained", constant: "the same flow in 20 steps", shoot: "geodesic shooting" };
const HUES = ["blue", "orange", "green", "purple"];
const STILL = [0, 0];

/** Momenta (k) of the controls, at all landmarks of the mean face. */
function everywhere(mean, controls, momenta) {
  const all = mean.map(() => STILL);
  controls.forEach((i, k) => { all[i] = momenta[k]; });
  return all;
}
/** Where the landmarks of a scheme are after each step, px of the crop: each rides with its curve. */
export function carried({ mean, curves, controls, sigma, schemes }, momenta, name, how) {
  const { points, groups } = schemes[name], p0 = everywhere(mean, controls, momenta), { steps } = MODELS[how];
  const path = range(steps + 1).map(() => points.map(p => p));
  curves.forEach((curve, c) => {
    const riders = groups[c];
    if (!riders.length) return;
    const x0 = [...curve.map(i => mean[i]), ...riders.map(i => points[i])];
    const given = [...curve.map(i => p0[i]), ...riders.map(() => STILL)];
    const found = flow({ x0, p0: given, sigma: sigma[c], ...MODELS[how] }).path;
    found.forEach((x, t) => riders.forEach((i, k) => { path[t][i] = x[curve.length + k]; }));
  });
  return path;
}
/** The place on a path at a time from 0 to 1, straight on between two steps. */
export function at(path, time) {
  const t = time * (path.length - 1), k = Math.min(Math.floor(t), path.length - 2), share = t - k;
  return path[k].map((p, i) => p.map((v, d) => v + share * (path[k + 1][i][d] - v)));
}
/** Momenta, [x, y] each, that a network reads in the square around a box of a picture. */
export function momenta(net, picture, box) {
  const [{ data }] = run(net, input(picture, square(box), net.input[3]));
  return range(data.length / 2).map(i => [data[2 * i], data[2 * i + 1]]);
}
const apart = (a, b) => a.map(([x, y], i) => Math.hypot(x - b[i][0], y - b[i][1]));
/** The mean error of landmarks in shares of the distance of the outer eye corners; those without a place left out. */
export function nme(found, truth, [left, right]) {
  const unit = apart([truth[left]], [truth[right]])[0];
  const errors = apart(found, truth).filter(Number.isFinite);
  return errors.reduce((a, b) => a + b, 0) / errors.length / unit;
}

// -------------------------------------------------------------------------------------------------- the pictures

/** The sheet of faces, cut into pictures. */
async function decoded(view, count, columns) {
  const sheet = await readPicture(new Blob([view]), Infinity), side = sheet.width / columns;
  const g = sheet.canvas.getContext("2d", { willReadFrequently: true });
  return range(count).map(i => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const pixels = g.getImageData(i % columns * side, Math.floor(i / columns) * side, side, side);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return { width: side, height: side, data: pixels.data, canvas };
  });
}
/** A square around points, with room. */
function framed(points) {
  const sides = [0, 1].map(d => [Math.min(...points.map(p => p[d])), Math.max(...points.map(p => p[d]))]);
  const half = 0.7 * Math.max(...sides.map(([low, high]) => high - low));
  return sides.map(([low, high]) => [-1, 1].map(sign => (low + high) / 2 + sign * half));
}
const hue = (plot, c) => plot.colour[HUES[c % HUES.length]];
function paintLines(plot, points, { lines, groups }, look) {
  for (const [c, line] of lines) plot.line(line.map(i => points[i]), look(c));
  groups.forEach((group, c) => plot.dots(group.map(i => points[i]), { radius: 1.8, ...look(c) }));
}
/** The picture, the square around the face, and the landmarks where the flow has taken them. */
function paintPicture(plot, now) {
  const { picture, box, found, truth, schemes, scheme } = now, { g } = plot;
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([picture.width - 0.5, picture.height - 0.5]);
  g.fillStyle = plot.colour.surface;
  g.fillRect(0, 0, plot.width, plot.height);
  g.imageSmoothingEnabled = true;
  g.drawImage(picture.canvas, left, top, right - left, bottom - top);
  const { x, y, side } = square(box);
  for (const [s, dash] of [[side / MARGIN / 2, []], [side / 2, [4, 4]]]) {
    const corners = [[-s, -s], [s, -s], [s, s], [-s, s]].map(([u, v]) => [x + u, y + v]);
    plot.line(corners, { colour: "#000", width: 3, alpha: 0.45, close: true });
    plot.line(corners, { colour: "#fff", width: 1.4, dash, close: true });
  }
  if (truth) plot.dots(truth.filter(p => Number.isFinite(p[0])), { colour: "#fff", radius: 2, edge: "#222" });
  paintLines(plot, found, schemes[scheme], () => ({ colour: "#000", width: 3.5, alpha: 0.5 }));
  const light = ["#7cc7ff", "#ffb074", "#6fe3bb", "#f1b3e2"]; // on a photograph, whatever the page's theme
  paintLines(plot, found, schemes[scheme], c => ({ colour: light[c % 4], width: 1.8 }));
}
/** The mean face, its momenta, and the face that they have made of it by now. */
function paintMean(plot, { mean, curves, controls, arrows, own, schemes, source, selected }) {
  const { muted, paper, line } = plot.colour;
  paintLines(plot, mean, schemes[source], () => ({ colour: line, width: 1.4 }));
  paintLines(plot, own, schemes[source], c => ({ colour: hue(plot, c), width: 2 }));
  const curveOf = i => curves.findIndex(curve => curve.includes(i));
  controls.forEach((i, k) => {
    plot.arrow(mean[i], arrows[k], { colour: paper, width: 3.6, head: 8, alpha: 0.8 });
    plot.arrow(mean[i], arrows[k], { colour: hue(plot, curveOf(i)), width: k === selected ? 2.6 : 1.4, head: 7 });
  });
  plot.dots([mean[controls[selected]]], { colour: paper, radius: 3.2, edge: muted });
}

// --------------------------------------------------------------------------------------------------- the widget

function meanPlot(ui, now) {
  const { mean, controls, size } = now(), k = controls.length, [x, y] = framed(mean);
  const label = "The mean face with momenta as arrows, and the face that their flow makes of it";
  const plot = ui.plot({ x, y: [y[1], y[0]], label, pad: 0 }, p => paintMean(p, now()));
  const chosen = () => Math.min(ui.get("selected"), k - 1), start = i => mean[controls[i]], tips = () => now().arrows;
  const choose = by => () => ui.set({ selected: (chosen() + by + k) % k });
  const pull = (i, to) => {
    const wanted = to.map((v, d) => (clamp(v, ...[x, y][d]) - start(i)[d]) / now().gain);
    ui.set({ pulls: ui.get("pulls").with(i, wanted.map((v, d) => v - now().predicted[i][d])) });
  };
  ui.handle(plot, {
    label: () => `momentum of landmark ${controls[chosen()]}`,
    text: () => way(now().momenta[chosen()], 2),
    now: () => Math.hypot(...now().momenta[chosen()]), bounds: [0, size],
    at: () => tips()[chosen()],
    to: to => pull(chosen(), to),
    step: [1, 1],
    keys: { PageDown: choose(1), PageUp: choose(-1), Home: () => ui.set({ pulls: ui.get("pulls").with(chosen(), [0, 0]) }) },
    near: point => plot.nearest(point, tips()) ?? plot.nearest(point, controls.map(i => mean[i])),
    select: i => ui.set({ selected: i }),
    look: "mark",
  });
  return plot;
}
/** The faces at hand as small pictures, a radio button each. */
function gallery(ui, pictures, choose) {
  const group = `sw-faces-${Math.random().toString(36).slice(2)}`;
  return h("div", { class: "sw-faces", role: "radiogroup", "aria-label": "drawn faces" }, ...pictures.map((picture, i) => {
    const radio = h("input", { type: "radio", name: group, "aria-label": `drawn face ${i + 1}`, autocomplete: "off" });
    radio.addEventListener("change", () => choose(i), { signal: ui.signal });
    radio.addEventListener("keydown", e => e.stopPropagation(), { signal: ui.signal });
    const small = h("canvas", { width: 88, height: 88 });
    small.getContext("2d").drawImage(picture.canvas, 0, 0, 88, 88);
    const image = h("img", { src: small.toDataURL("image/jpeg", 0.9), alt: "" });
    return ui.keep(h("label", { class: "sw-face" }, radio, image), () => { radio.checked = ui.get("face") === i; });
  }));
}

async function prepare(model) {
  const [count, columns] = model.get("sheet"), pictures = await decoded(model.get("pictures"), count, columns);
  return { pictures, net: network(model.get("network")) };
}
export default widget((ui, { pictures, net }) => {
  const own = { picture: null }, size = net.input[3];
  const shown = () => pictures[ui.get("face")] ?? own.picture ?? pictures[0];
  const isOwn = () => shown() === own.picture;
  let key, last; // the network looks again only where the picture or the square is another one
  const predicted = () => {
    const picture = shown(), box = ui.get("box");
    if (key?.[0] !== picture || key[1] !== String(box)) [key, last] = [[picture, String(box)], momenta(net, picture, box)];
    return last;
  };
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), read = predicted(), box = ui.get("box");
    const { scheme, model, pulls, time, gain, mean, controls } = state, source = ui.get("source");
    const used = read.map((p, k) => p.map((v, d) => v + pulls[k][d]));
    const path = carried(state, used, scheme, model), mine = carried(state, used, source, model);
    const there = points => fromCrop(square(box), size, points), truth = isOwn() ? null : ui.get("truth")[ui.get("face")];
    const parts = Object.keys(MODELS).map(how => (how === model ? mine : carried(state, used, source, how)).at(-1));
    const lengthened = used.map((p, k) => p.map((v, d) => mean[controls[k]][d] + gain * v));
    return {
      ...state, source, size, box, picture: shown(), predicted: read, momenta: used, arrows: lengthened,
      selected: Math.min(ui.get("selected"), controls.length - 1),
      found: there(at(path, time)), own: at(mine, time), truth: scheme === source ? truth : null,
      error: truth && nme(there(mine.at(-1)), truth, ui.get("corners")),
      parted: parts.slice(1).map(end => Math.max(...apart(end, parts[0]))),
    };
  });
  const still = () => ui.get("controls").map(() => [0, 0]);
  const choose = i => ui.set({ face: i, box: ui.get("boxes")[i], pulls: still() });
  const plot = ui.plot({ x: [0, 1], y: [1, 0], pad: 0, label: "The face, and the landmarks that were found on it" },
    p => paintPicture(p, now()));
  const fit = () => { // the whole picture in a square, whatever its shape
    const { width, height } = shown(), side = Math.max(width, height);
    const edges = n => [(n - side) / 2 - 0.5, (n + side) / 2 - 0.5];
    plot.xs = edges(width);
    plot.ys = edges(height).reverse();
  };
  fit();
  const draw = plot.draw.bind(plot);
  plot.draw = () => { fit(); draw(); };
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const left = h("div", {}, plot.node, hint("Move the square by its corners until the face, brows to chin, fills the inner " +
    "one. White dots: the truth, where it is known."), said);
  placing(ui, plot, { get: () => ui.get("box"), set: box => ui.set({ box }), size: () => [shown().width, shown().height] });
  const photo = photographs(ui, left, picture => {
    own.picture = picture;
    ui.set({ face: pictures.length, box: firstBox(picture), pulls: still() });
    ui.changed();
  });
  const names = Object.fromEntries(Object.entries(ui.get("schemes")).map(([name, { points }]) => [name, `${points.length}`]));
  return [
    gallery(ui, pictures, choose),
    h("div", { class: "sw-bar" }, ...photo.nodes),
    h("div", { class: "sw-pair sw-stays" },
      left,
      h("div", {}, meanPlot(ui, now).node,
        h("div", { class: "sw-bar" }, ui.play(), ui.button("As predicted", () => ui.set({ pulls: still() })), ui.reset(...MOVED)),
        ui.slider({ name: "time", label: "shown until time", min: 0, max: 1, step: 0.01, text: v => decimal(v, 2) }),
        ui.choice({ name: "scheme", label: "landmarks on the picture", options: names }),
        ui.choice({ name: "model", label: "flow", options: WORDS }),
        hint(`${ui.get("gain") === 1 ? "" : `Arrows are drawn ${ui.get("gain")} times as long. `}Drag an arrow. Keys move the ringed one: arrows, Home ` +
          "(as predicted), Page Up and Page Down (the next landmark)."))),
    ui.status(() => told(now())),
  ];
}, prepare);

function told({ error, parted, momenta, pulls, model }) {
  const longest = Math.max(...momenta.map(p => Math.hypot(...p))), pulled = pulls.filter(p => p[0] || p[1]).length;
  return (error == null ? "" : `Mean error ${percent(error)} % of the distance of the eye corners. `) +
    `Longest momentum ${decimal(longest, 2)} px${pulled ? `, ${pulled} pulled` : ""}. Two Euler steps end up to ` +
    `${decimal(parted[0], 2)} px from the exact flow, ${decimal(parted[1], 2)} px from the geodesic.`;
}
