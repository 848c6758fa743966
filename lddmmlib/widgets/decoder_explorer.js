// Heatmaps that networks made of a face: the pointer chooses the landmark, and five decoders read its map side by side.
import { decode, largest } from "./heatmaps.js";
import { clamp, decimal, h, hint, mean, more, part, range, row, table, widget } from "./shared.js";

const STATE = ["maps", "levels", "shape", "stride", "truth", "names", "networks", "network", "selected", "window", "tau"];
const DECODERS = { argmax: "□ argmax", quarter: "◇ quarter shift", taylor: "+ Taylor (DARK)", soft: "○ soft-argmax",
  local_soft: "× local soft-argmax" };
const ZOOM = 5; // cells a side of the enlarged map

const bytes = data => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data);
/** The map of one landmark as rows of values: a byte b is low + b (high - low) / 255. */
export function map({ maps, levels, shape, network }, landmark) {
  const [, n, cells] = shape, start = (network * n + landmark) * cells * cells, [low, high] = levels, all = bytes(maps);
  return range(cells).map(y => range(cells).map(x => low + all[start + y * cells + x] * (high - low) / 255));
}
/** Cells to pixels of the network's input. */
export const pixels = (cell, stride) => cell.map(u => stride * u + (stride - 1) / 2);
/** Each decoder's point (px) for one landmark. */
export function points(state, landmark) {
  const one = map(state, landmark);
  return Object.fromEntries(Object.keys(DECODERS).map(name => [name, pixels(decode(one, name, state), state.stride)]));
}
/** Each decoder's mean distance (px) from the truth, over all landmarks. */
export function means(state) {
  const found = state.truth.map((_, i) => points(state, i));
  const off = name => mean(found.map((each, i) => Math.hypot(...each[name].map((v, k) => v - state.truth[i][k]))));
  return Object.fromEntries(Object.keys(DECODERS).map(name => [name, off(name)]));
}

// ------------------------------------------------------------------------------------------------- the pictures

/** The picture (red, green, blue of each pixel) on a canvas of its own. */
function sheet(rgb) {
  const size = Math.sqrt(rgb.length / 3), canvas = h("canvas", { width: size, height: size });
  const opaque = Uint8ClampedArray.from({ length: 4 * size * size }, (_, i) => (i % 4 < 3 ? rgb[(i >> 2) * 3 + i % 4] : 255));
  canvas.getContext("2d").putImageData(new ImageData(opaque, size, size), 0, 0);
  return canvas;
}
function paintPicture(plot, picture, side) {
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([side - 0.5, side - 0.5]);
  plot.g.drawImage(picture, left, top, right - left, bottom - top);
}
const square = ([x, y], half) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([u, v]) => [x + u * half, y + v * half]);
function paintCells(plot, { one, stride }, colour, alpha) {
  const most = Math.max(...one.flat());
  one.forEach((values, y) => values.forEach((v, x) => {
    const strength = alpha * clamp(v / most, 0, 1);
    if (strength > 0.02) plot.line(square(pixels([x, y], stride), stride / 2), { fill: colour, alpha: strength, close: true });
  }));
}
function paintFace(plot, now, picture) {
  const { blue, ink, paper } = plot.colour, { truth, one, stride, window, side } = now;
  paintPicture(plot, picture, side);
  plot.within(() => {
    paintCells(plot, now, blue, 0.85);
    const rim = square(pixels(largest(one), stride), stride * window / 2);
    plot.line(rim, { colour: paper, width: 3.5, close: true });
    plot.line(rim, { colour: ink, width: 1.5, dash: [5, 4], close: true });
  });
  plot.dots(truth, { colour: "#fff", radius: 2, edge: "#222" });
}
/** Each decoder's mark, drawn twice: a rim of the paper's colour, then itself. */
const SHAPES = {
  argmax: r => [[[-r, -r], [r, -r], [r, r], [-r, r], [-r, -r]]],
  quarter: r => [[[0, -r * 1.3], [r * 1.3, 0], [0, r * 1.3], [-r * 1.3, 0], [0, -r * 1.3]]],
  taylor: r => [[[-r * 1.3, 0], [r * 1.3, 0]], [[0, -r * 1.3], [0, r * 1.3]]],
  soft: r => [range(25).map(k => [r * Math.cos(k * Math.PI / 12), r * Math.sin(k * Math.PI / 12)])],
  local_soft: r => [[[-r, -r], [r, r]], [[-r, r], [r, -r]]],
};
function mark(plot, name, [x, y], look) {
  for (const stroke of SHAPES[name](6)) plot.line(stroke.map(([u, v]) => [x + u / plot.scaleX, y + v / plot.scaleX]), look);
}
/** The cells around the true place: `ZOOM` of them a side, or the whole map. */
export function frame({ shape, stride, truth, selected }) {
  const [, , cells] = shape, shown = Math.min(cells, ZOOM);
  return truth[selected].map(v => {
    const first = clamp(Math.round((v - (stride - 1) / 2) / stride) - (shown >> 1), 0, cells - shown);
    return [first * stride - 0.5, (first + shown) * stride - 0.5];
  });
}
function paintZoom(plot, now) {
  const { blue, orange, ink, paper, line } = plot.colour, { one, stride, window, truth, selected } = now;
  const [x, y] = frame(now);
  [plot.xs, plot.ys] = [x, [y[1], y[0]]];
  plot.within(() => {
    paintCells(plot, now, blue, 0.9);
    for (const k of range(Math.round((x[1] - x[0]) / stride) + 1)) {
      const grid = { colour: line, width: 0.7 }, [u, v] = [x[0] + k * stride, y[0] + k * stride];
      plot.line([[u, y[0]], [u, y[1]]], grid);
      plot.line([[x[0], v], [x[1], v]], grid);
    }
    plot.line(square(pixels(largest(one), stride), stride * window / 2), { colour: ink, width: 1.6, dash: [5, 4], close: true });
    plot.dots([truth[selected]], { colour: orange, radius: 5, edge: paper });
    for (const [name, at] of Object.entries(now.points)) mark(plot, name, at, { colour: paper, width: 5 });
    for (const [name, at] of Object.entries(now.points)) mark(plot, name, at, { colour: ink, width: 2 });
  });
}

// --------------------------------------------------------------------------------------------------- the widget

const off = (now, name) => now.points[name].map((v, k) => v - now.truth[now.selected][k]);
const far = (now, name) => Math.hypot(...off(now, name));
function facePlot(ui, now) {
  const { truth, names, side } = now(), n = truth.length, picture = sheet(bytes(ui.get("image")));
  const label = "The face, its true landmarks, and the heatmap of the chosen one";
  const plot = ui.plot({ x: [-0.5, side - 0.5], y: [side - 0.5, -0.5], label, pad: 0 }, p => paintFace(p, now(), picture));
  const choose = i => { if (i != null && i !== ui.get("selected")) ui.set({ selected: i }); };
  const by = step => () => choose((ui.get("selected") + step + n) % n);
  const closest = point => {
    const d = truth.map(p => Math.hypot(p[0] - point[0], p[1] - point[1]));
    return d.indexOf(Math.min(...d));
  };
  ui.handle(plot, {
    label: () => `landmark ${ui.get("selected")}, ${names[ui.get("selected")]}`,
    text: () => `local soft-argmax ${decimal(far(now(), "local_soft"), 2)} px off`,
    now: () => ui.get("selected"), bounds: [0, n - 1], step: [0, 0],
    at: () => truth[ui.get("selected")],
    to: at => choose(closest(at)),
    keys: { ArrowRight: by(1), ArrowDown: by(1), ArrowLeft: by(-1), ArrowUp: by(-1), PageDown: by(5), PageUp: by(-5),
      Home: () => choose(0), End: () => choose(n - 1) },
    near: point => plot.nearest(point, truth),
    select: choose,
  });
  const over = e => { if (!e.buttons && e.pointerType !== "touch") choose(plot.nearest(plot.from(e), truth)); };
  plot.canvas.addEventListener("pointermove", over, { signal: ui.signal });
  return plot;
}
function zoomPlot(ui, now) {
  const label = "The heatmap around the true landmark, enlarged, with each decoder's point";
  return ui.plot({ x: [0, 1], y: [1, 0], label, pad: 0 }, p => paintZoom(p, now()));
}
/** How far each decoder is off: at this landmark, and on the mean over the face. */
function decoders(ui, now, all) {
  const names = Object.keys(DECODERS), cells = names.map(() => range(4).map(() => h("td")));
  const rows = names.map((name, i) => row(DECODERS[name], cells[i]));
  return ui.keep(table(["error (px)", "x", "y", "size", "all"], rows), () => {
    names.forEach((name, i) => {
      const [dx, dy] = off(now(), name);
      [dx, dy, Math.hypot(dx, dy), all()[name]].forEach((v, k) => { cells[i][k].textContent = decimal(v, 2); });
    });
  });
}
const told = now => `Landmark ${now.selected}, ${now.names[now.selected]}. ` +
  Object.keys(DECODERS).map(name => `${DECODERS[name].slice(2)} ${decimal(far(now, name), 2)}`).join(", ") + " px off.";

export default widget(ui => {
  const now = ui.memo(() => {
    const state = Object.fromEntries(STATE.map(name => [name, ui.get(name)])), { shape, stride, selected } = state;
    return { ...state, side: shape[2] * stride, one: map(state, selected), points: points(state, selected) };
  });
  let known, last; // the means stay while only the landmark changes
  const all = () => {
    const key = [now().network, now().window, now().tau].join();
    if (key !== known) [known, last] = [key, means(now())];
    return last;
  };
  const { networks } = now(), said = ui.keep(h("p", { class: "sw-hint sw-count" }), () => {
    said.textContent = `Landmark ${now().selected}: ${now().names[now().selected]}`;
  });
  const network = part(ui, () => String(ui.get("network")), v => ({ network: Number(v) }));
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, facePlot(ui, now).node,
        hint("Move the pointer over the face, or tap: the nearest landmark's heatmap shows. Keys: arrows (one on or back), " +
          "Page Up and Page Down (five), Home, End. Dashed: the window."),
        ...(networks.length > 1 ? [network.choice({ name: "network", label: "network", options: { ...networks } })] : []),
        more("The decoder's window and τ",
          ui.slider({ name: "window", label: "window", min: 3, max: 9, step: 2, text: v => `${v} × ${v} cells` }),
          ui.slider({ name: "tau", label: "τ", min: 1, max: 40, step: 1, text: v => decimal(v, 0) }))),
      h("div", {}, zoomPlot(ui, now).node,
        hint("The same heatmap enlarged, cell by cell. Orange: the truth. The marks are those of the table."), said,
        decoders(ui, now, all), hint("Last column: the mean size over all landmarks of this face."),
        h("div", { class: "sw-bar" }, ui.reset("network", "selected", "window", "tau")))),
    ui.status(() => told(now())),
  ];
});
