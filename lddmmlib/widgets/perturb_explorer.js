// A face that the reader hides and blurs: what two trained networks, one of each loss, answer in the page.
import { network, run } from "./network.js";
import { clamp, decimal, h, hint, percent, range, widget } from "./shared.js";

const FLAT = 0.7; // height of the ellipse over its width
const MOVED = ["face", "place", "width", "blur", "selected", "method"], NAMES = ["L2", "W"];
const METHODS = { own: "max for L2, mean for W", max: "maximum", bc: "barycentre" };
const bytes = data => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : Uint8Array.from(data));

/** The chosen face, blurred along its rows and then hidden: red, green and blue, (3, side, side), from 0 to 1. */
export function perturbed({ images, side, face, place: [px, py], width, blur }) {
  const all = bytes(images), start = face * side * side * 3, out = new Float32Array(3 * side * side), a = width / 2;
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++, at++) {
      if (a && ((x - px) / a) ** 2 + ((y - py) / (FLAT * a)) ** 2 <= 1) continue;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = -blur; k <= blur; k++) sum += all[start + 3 * (y * side + clamp(x + k, 0, side - 1)) + c];
        out[c * side * side + at] = sum / (255 * (2 * blur + 1));
      }
    }
  }
  return out;
}
/** The maps of each network as arrays of mass: of L2 without values below 0, of W a softmax. */
export function masses(net, picture) {
  return run(net, picture).map(({ shape: [, n, rows, columns], data }, k) => range(n).map(i => {
    const map = data.subarray(i * rows * columns, (i + 1) * rows * columns);
    if (k === 0) return Float64Array.from(map, v => Math.max(v, 0));
    const most = Math.max(...map), weights = Float64Array.from(map, v => Math.exp(v - most));
    const total = weights.reduce((a, b) => a + b);
    return weights.map(v => v / total);
  }));
}
/** GET_BC, null for a map of zeros; and GET_MAX, refined from the neighbours: cells. */
export function barycentre(map, n) {
  const total = map.reduce((a, b) => a + b), mean = at => map.reduce((sum, v, i) => sum + v * at(i), 0) / total;
  return total > 0 ? [mean(i => i % n), mean(i => Math.floor(i / n))] : null;
}
export function maximum(map, n) {
  const peak = map.indexOf(Math.max(...map));
  if (!(map[peak] > 0)) return null;
  return [[peak % n, 1], [Math.floor(peak / n), n]].map(([place, step]) => {
    if (place === 0 || place === n - 1) return place;
    const [a, c, b] = [-step, 0, step].map(d => map[peak + d]), fall = 2 * (c - Math.min(a, b));
    return place + (fall > 0 ? (b - a) / fall : 0);
  });
}
/** The landmarks of both networks, px; the middle where a map has no value above 0. */
export function landmarks(maps, { side, method }) {
  return maps.map((each, k) => each.map(map => {
    const n = Math.sqrt(map.length), peak = method === "max" || (method === "own" && k === 0), stride = side / n;
    const found = (peak ? maximum : barycentre)(map, n);
    return found ? found.map(v => stride * v + (stride - 1) / 2) : [(side - 1) / 2, (side - 1) / 2];
  }));
}
const apart = ([a, b], [c, d]) => Math.hypot(a - c, b - d);
/** Each landmark's error in shares of the distance of the outer eye corners. */
export const errors = (found, truth, [left, right]) =>
  found.map((p, i) => apart(p, truth[i]) / apart(truth[left], truth[right]));
/** All errors of a state; for the tests. */
export function answered(state) {
  const found = landmarks(masses(network(bytes(state.network)), perturbed(state)), state);
  return { found, errors: found.map(each => errors(each, state.truth[state.face], state.corners)) };
}

// ------------------------------------------------------------------------------------------------- the pictures

function sheet(picture, side) {
  const canvas = h("canvas", { width: side, height: side }), n = side * side;
  const pixels = Uint8ClampedArray.from({ length: 4 * n }, (_, i) => (i % 4 < 3 ? 255 * picture[i % 4 * n + (i >> 2)] : 255));
  canvas.getContext("2d").putImageData(new ImageData(pixels, side, side), 0, 0);
  return canvas;
}
const square = ([x, y], r) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [x + a * r, y + b * r]);
function paint(plot, now, k) {
  const { side, picture, maps, found, truth, selected } = now, map = maps[k][selected], n = Math.sqrt(map.length);
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([side - 0.5, side - 0.5]);
  plot.g.imageSmoothingEnabled = true;
  plot.g.drawImage(picture, left, top, right - left, bottom - top);
  const most = Math.max(...map), stride = side / n, middle = i => [i % n, Math.floor(i / n)].map(v => stride * v + (stride - 1) / 2);
  map.forEach((v, i) => {
    const alpha = 0.8 * Math.sqrt(Math.max(v, 0) / (most || 1));
    if (alpha > 0.05) plot.line(square(middle(i), stride / 2), { fill: "#ff9a52", alpha, close: true });
  });
  plot.dots([truth[selected]], { colour: "#45e0a8", radius: 5, edge: "#000" });
  plot.dots(found[k], { colour: "#7cc7ff", radius: 2.2, edge: "#00324f" });
  plot.dots([found[k][selected]], { colour: "#ffffff", radius: 4, edge: "#000" });
}

// --------------------------------------------------------------------------------------------------- the widget

const told = ({ off }) => NAMES.map((name, k) => {
  const mean = off[k].reduce((a, b) => a + b, 0) / off[k].length, failed = off[k].filter(e => e > 0.1).length;
  return `${name}: mean error ${percent(mean)} %, ${failed} landmarks off by more than a tenth`;
}).join(". ") + ".";

function facePlot(ui, now, k) {
  const { side } = now(), name = NAMES[k], label = `The face, a landmark's map and all landmarks of the network trained by ${name}`;
  const plot = ui.plot({ x: [-0.5, side - 0.5], y: [side - 0.5, -0.5], label, pad: 0 }, p => paint(p, now(), k));
  ui.handle(plot, {
    label: () => `ellipse, on ${name}'s picture`,
    text: () => ui.get("place").map((v, d) => `${"xy"[d]} ${decimal(v, 0)}`).join(", "),
    at: () => ui.get("place"),
    to: at => ui.set({ place: at.map(v => Math.round(clamp(v, 0, side - 1))) }),
    step: [1, 1],
  });
  return plot;
}
export default widget(ui => {
  const net = network(bytes(ui.get("network"))), names = [...MOVED, "images", "side"];
  let known = null; // the networks look again only where the picture is another one
  const now = ui.memo(() => {
    const state = Object.fromEntries(names.map(name => [name, ui.get(name)]));
    const name = JSON.stringify([state.face, state.place, state.width, state.blur]);
    if (known?.name !== name) {
      const pixels = perturbed(state);
      known = { name, maps: masses(net, pixels), picture: sheet(pixels, state.side) };
    }
    const found = landmarks(known.maps, state), truth = ui.get("truth")[state.face];
    return { ...state, ...known, found, truth, off: found.map(each => errors(each, truth, ui.get("corners"))) };
  });
  const said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { said.textContent = told(now()); });
  const faces = Object.fromEntries(ui.get("truth").map((_, i) => [i, `${i + 1}`]));
  const chosen = Object.assign(Object.create(ui), { get: name => String(ui.get(name)),
    set: ({ face }) => ui.set({ face: Number(face) }) });
  const px = v => `${decimal(v, 0)} px`;
  return [
    h("div", { class: "sw-race" }, ...NAMES.map((name, k) => h("div", {},
      h("h4", {}, k ? "with transport (W)" : "squared difference (L2)"), facePlot(ui, now, k).node))),
    hint("Drag the ring, the middle of the ellipse. Orange: the map of one landmark; green: where it is, white: where it " +
      "was found; blue: the other landmarks. Keys: arrows by a pixel (Shift: 5)."),
    said,
    h("div", { class: "sw-pair" },
      h("div", {},
        ui.slider({ name: "width", label: "ellipse", min: 0, max: 48, step: 2, text: v => (v ? `${decimal(v, 0)} px wide` : "none") }),
        ui.slider({ name: "blur", label: "motion blur", min: 0, max: 8, step: 1, text: v => px(2 * v) }),
        ui.slider({ name: "selected", label: "map of landmark", min: 0, max: 67, step: 1, text: v => decimal(v, 0) })),
      h("div", {},
        chosen.choice({ name: "face", label: "face", options: faces }),
        ui.choice({ name: "method", label: "read by", options: METHODS }),
        h("div", { class: "sw-bar" }, ui.reset(...MOVED)))),
    ui.status(() => told(now())),
  ];
});
