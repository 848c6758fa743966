// A head that is turned and moved, with the landmarks of any annotation scheme on it.
import { curve, dot, faceOf, gaze, headOf, jawPlaces, landmarks, mesh, rotation, toCamera, turnedTo } from "./geometry.js";
import { depthAt, relief, sheet } from "./relief.js";
import { decimal, h, part, range, widget } from "./shared.js";

/** Arrays by name from one that has them all, one after the other: "a.b" goes to { a: { b } }. */
export function unpack(numbers, sizes) {
  const out = {};
  let from = 0;
  for (const [name, size] of sizes) {
    const keys = name.split("."), last = keys.pop();
    keys.reduce((inner, key) => (inner[key] ??= {}), out)[last] = numbers.slice(from, (from += size));
  }
  return out;
}
const radians = degrees => degrees * Math.PI / 180, degrees = radians => radians * 180 / Math.PI;
/** The face of a state, framed in the picture. */
export function framed(head, { identity, expression, yaw, pitch, roll }) {
  const { scale, middle, at } = head.picture, pose = [yaw, pitch, roll].map(radians), turn = rotation(...pose);
  const centre = [0, 1].map(k => at[k] - scale * dot(turn[k], middle)); // the head turns about its middle
  return faceOf(head, { identity, expression, yaw: pose[0], pitch: pose[1], roll: pose[2], scale, centre });
}
/** The landmarks of many states; `numbers` are a widget's arrays. */
export function landmarksOf(numbers, tables, states) {
  const head = headOf(unpack(numbers, tables.sizes), tables);
  return states.map(state => landmarks(framed(head, state), state.scheme));
}
/** Yaw and pitch in degrees after the tip of the nose was dragged to `target`. */
export function dragged(head, state, target) {
  const { degrees: { yaw, pitch }, picture: { scale, middle, at } } = head, tip = noseTip(framed(head, state));
  const flat = [0, 1].map(k => (target[k] - at[k]) / scale), limits = [radians(yaw), radians(pitch)];
  return turnedTo(radians(state.roll), tip.map((v, k) => v - middle[k]), flat, limits).map(degrees);
}
function noseTip({ head, knots: x }) {
  const row = head.rows.nose_bridge + head.knots.nose_bridge.length - 1;
  return Array.from(x.slice(3 * row, 3 * row + 3));
}

/** The numbers that every face shares, once they are unpacked. */
async function inflated(view) {
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer()), n = planes.length / 4;
  const numbers = new DataView(new ArrayBuffer(4 * n)); // little-endian: the lowest bytes came first
  planes.forEach((byte, i) => numbers.setUint8(4 * (i % n) + Math.floor(i / n), byte));
  return Float32Array.from({ length: n }, (_, i) => numbers.getFloat32(4 * i, true));
}
const heads = new WeakMap(); // of each model

// -------------------------------------------------------------------------------------------------- the picture

const CLAY = {
  light: { skin: [233, 217, 204], back: [233, 217, 204], eye: [246, 244, 240], mouth: [140, 84, 78], ear: [233, 217, 204],
    neck: [221, 206, 194], iris: [92, 116, 128], pupil: [40, 40, 44], line: "#5b4438", lips: "#b0574f55", brow: "#4a3830cc" },
  dark: { skin: [150, 137, 128], back: [150, 137, 128], eye: [196, 194, 190], mouth: [84, 50, 46], ear: [150, 137, 128],
    neck: [139, 127, 119], iris: [66, 86, 98], pupil: [22, 22, 26], line: "#2b1f19", lips: "#7d373166", brow: "#231a16cc" },
};
const FINE = 2; // cells of the relief a pixel of the picture
const STEPS = range(41).map(i => i / 40);
const LINES = ["hairline", "left_ear", "right_ear", "nose_outline", ...["left_eye", "right_eye", "outer_lip", "inner_lip"]
  .flatMap(name => [`${name}_upper`, `${name}_lower`])];
const PUPIL = 0.42; // of the iris

/** What paints a triangle of the eyes: white, iris and pupil by the angle from where the eye looks. */
function eyePaint(face, clay) {
  const { head, rotation, scale } = face, look = gaze(face), axis = rotation.map(row => dot(row, look));
  const balls = ["left", "right"].map(side => {
    const row = 3 * head.rows[`${side}_eyeball`];
    return toCamera(face, Array.from(face.knots.slice(row, row + 3)));
  });
  const rims = [PUPIL, 1].map(share => Math.cos(Math.asin(share * head.iris / head.eyeball)));
  return (x, y, z) => {
    const near = balls.map(b => [x - b[0], y - b[1], z - b[2]]).sort((a, b) => Math.hypot(...a) - Math.hypot(...b))[0];
    const size = Math.hypot(...near), c = dot(near, axis) / size;
    return size > 1.1 * head.eyeball * scale || c < rims[1] ? clay.eye : c < rims[0] ? clay.iris : clay.pupil;
  };
}
function paintHead(plot, { face, mesh: x }, drawn, canvas) {
  const { head } = face, dark = getComputedStyle(plot.node).colorScheme.includes("dark");
  const clay = CLAY[dark ? "dark" : "light"], eye = eyePaint(face, clay), { width, height } = head.picture;
  const colours = head.regions.map(name => (name === "eye" ? eye : clay[name]));
  relief(x, head.triangles, i => colours[head.region[i]], drawn);
  canvas.getContext("2d").putImageData(new ImageData(drawn.pixels, drawn.width, drawn.height), 0, 0);
  const [left, top] = plot.at([-0.5, -0.5]), [right, bottom] = plot.at([width - 0.5, height - 0.5]);
  plot.g.drawImage(canvas, left, top, right - left, bottom - top);
  paintCurves(plot, face, drawn, clay);
}
function paintCurves(plot, face, drawn, clay) {
  const open = p => p[2] > depthAt(drawn, p) - face.head.standsBefore * face.scale;
  const band = (above, below, fill) => {
    const [a, b] = [above, below].map(name => curve(face, name, STEPS));
    const pairs = runs(a.map((p, i) => [p, b[i]]), pair => pair.every(open));
    for (const run of pairs) plot.line([...run.map(p => p[0]), ...run.map(p => p[1]).reverse()], { fill, close: true });
  };
  for (const side of ["left", "right"]) band(`${side}_brow_upper`, `${side}_brow_lower`, clay.brow);
  band("outer_lip_upper", "inner_lip_upper", clay.lips);
  band("outer_lip_lower", "inner_lip_lower", clay.lips);
  for (const name of LINES) {
    for (const run of runs(curve(face, name, STEPS), open)) plot.line(run, { colour: clay.line, width: 1 });
  }
}
/** The stretches of a polyline that are open to the camera. */
function runs(points, open) {
  const out = [[]];
  for (const p of points) {
    if (open(p)) out.at(-1).push(p);
    else if (out.at(-1).length) out.push([]);
  }
  return out.filter(run => run.length > 1);
}

function paintLandmarks(plot, { face, points, visible, slid }, numbers) {
  const { blue, orange, paper } = plot.colour, radius = points.length > 150 ? 2 : 2.7;
  for (const [from, to] of slid) plot.line([from, to], { colour: orange, width: 1.6 });
  plot.line(jawPlaces(face, STEPS), { colour: orange, width: 1.4, dash: [4, 3] });
  const hidden = points.filter((_, i) => !visible[i]);
  plot.dots(hidden, { colour: "transparent", radius: radius + 0.6, edge: blue });
  plot.dots(points.filter((_, i) => visible[i]), { colour: blue, radius, edge: paper });
  if (numbers) paintNumbers(plot, points);
}
/** The landmarks' indices, as many as find room. */
function paintNumbers(plot, points) {
  const { g } = plot, taken = [];
  Object.assign(g, { font: `10px ${getComputedStyle(plot.node).fontFamily}`, textAlign: "center", textBaseline: "middle" });
  Object.assign(g, { lineWidth: 2.5, strokeStyle: plot.colour.paper, fillStyle: plot.colour.ink, lineJoin: "round" });
  points.forEach((p, i) => {
    const [u, v] = plot.at(p), x = u, y = v - 9, half = 3.2 * String(i).length + 1;
    if (taken.some(([a, b, other]) => Math.abs(a - x) < half + other && Math.abs(b - y) < 10)) return;
    taken.push([x, y, half]);
    g.strokeText(i, x, y);
    g.fillText(i, x, y);
  });
}

// --------------------------------------------------------------------------------------------------- the widget

const MOVED = ["identity", "expression", "yaw", "pitch", "roll", "scheme", "numbers"];
const NAMES = { gaze_x: "gaze sideways", gaze_y: "gaze down" };

function shown(ui, head) {
  const state = Object.fromEntries(MOVED.map(name => [name, ui.get(name)]));
  const face = framed(head, state), x = mesh(face), { points, visible } = landmarks(face, state.scheme, x);
  const jaw = head.schemes[state.scheme].map(([name, t], i) => [name, t, i]).filter(([name]) => name === "jaw");
  const places = jawPlaces(face, jaw.map(([, t]) => t));
  const slid = jaw.map(([, , i], k) => [places[k], points[i]])
    .filter(([p, q]) => Math.hypot(p[0] - q[0], p[1] - q[1]) > head.standsBefore * face.scale);
  return { ...state, face, mesh: x, points, visible, slid };
}
/** One element of a list, as the trait of a control. */
const element = (ui, name, i) => part(ui, () => ui.get(name)[i], value => ({ [name]: ui.get(name).with(i, value) }));

const signed = (v, digits = 1) => (v > 0 ? "+" : "") + decimal(v, digits);
const way = (v, back, forth) => `${decimal(Math.abs(v), 0)}°${Math.round(v) === 0 ? "" : ` ${v < 0 ? back : forth}`}`;
const SAID = {
  yaw: v => way(v, "left", "right"), pitch: v => way(v, "down", "up"), roll: v => way(v, "anticlockwise", "clockwise"),
};

function facePlot(ui, head, now) {
  const { width, height } = head.picture, limits = head.degrees;
  const label = "A head, with the landmarks of the chosen scheme: filled where they are seen, hollow where they are hidden";
  const drawn = sheet(width, height, FINE), canvas = h("canvas", { width: drawn.width, height: drawn.height });
  const frame = { x: [-0.5, width - 0.5], y: [height - 0.5, -0.5], ratio: width / height, pad: 0 };
  const plot = ui.plot({ ...frame, label }, p => {
    paintHead(p, now(), drawn, canvas);
    paintLandmarks(p, now(), ui.get("numbers"));
  });
  const turn = (yaw, pitch) => {
    const within = (name, v) => Math.min(limits[name], Math.max(-limits[name], v));
    ui.set({ yaw: within("yaw", ui.get("yaw") + yaw), pitch: within("pitch", ui.get("pitch") + pitch) });
  };
  const keys = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, 2], ArrowDown: [0, -2] };
  ui.handle(plot, {
    label: () => "turn of the head",
    text: () => `yaw ${SAID.yaw(ui.get("yaw"))}, pitch ${SAID.pitch(ui.get("pitch"))}`,
    now: () => ui.get("yaw"),
    bounds: [-limits.yaw, limits.yaw],
    at: () => toCamera(now().face, noseTip(now().face)),
    to: target => {
      const [yaw, pitch] = dragged(head, now(), target).map(v => Math.round(2 * v) / 2);
      ui.set({ yaw, pitch });
    },
    step: [1, 1],
    keys: { ...Object.fromEntries(Object.entries(keys).map(([key, by]) => [key, () => turn(...by)])),
      Home: () => ui.set({ yaw: 0, pitch: 0 }) },
    near: point => (depthAt(drawn, point) > -Infinity ? true : null),
    select: () => {},
    look: "turn",
  });
  return plot;
}
function schemeList(ui, head) {
  const names = Object.keys(head.schemes);
  const asIndex = part(ui, () => names.indexOf(ui.get("scheme")), i => ({ scheme: names[i] }));
  const groups = { "annotation schemes": names.map((name, i) => [i, `${name}: ${head.schemes[name].length} landmarks`]) };
  return asIndex.select({ name: "scheme", label: "scheme", groups });
}
function tick(ui, name, words) {
  const input = h("input", { type: "checkbox", autocomplete: "off", onchange: () => ui.set({ [name]: input.checked }),
    onkeydown: e => { if (!e.ctrlKey && !e.metaKey) e.stopPropagation(); } });
  return ui.keep(h("label", { class: "sw-radio" }, input, h("span", {}, words)), () => { input.checked = ui.get(name); });
}
function counted({ scheme, points, visible }) {
  const seen = visible.filter(Boolean).length;
  return `${scheme}: ${seen} of ${points.length} landmarks seen, ${points.length - seen} hidden`;
}
function summary(now) {
  const pose = ["yaw", "pitch", "roll"].map(name => `${name} ${SAID[name](now[name])}`).join(", ");
  return `${counted(now)}, of which ${now.slid.length} have slid along the jaw's outline. Head: ${pose}.`;
}
const group = (words, ...controls) => h("fieldset", { class: "sw-group" }, h("legend", {}, words), ...controls);

function build(ui) {
  const head = heads.get(ui.model), now = ui.memo(() => shown(ui, head)), faces = ui.get("faces");
  let next = 0;
  const pose = ["yaw", "pitch", "roll"].map(name => {
    const [min, max] = [-1, 1].map(sign => sign * Math.round(head.degrees[name]));
    return ui.slider({ name, label: name, min, max, step: 1, text: SAID[name] });
  });
  const identity = range(head.sliders).map(i => element(ui, "identity", i)
    .slider({ name: "value", label: `identity ${i + 1}`, min: -3, max: 3, step: 0.1, text: v => `${signed(v)} σ` }));
  const expression = head.expressions.map((name, i) => element(ui, "expression", i).slider({ name: "value",
    label: NAMES[name] ?? name.replace("_", " "), min: head.bounds[i][0], max: head.bounds[i][1], step: 0.05,
    text: v => decimal(v, 2) }));
  const count = ui.keep(h("p", { class: "sw-hint sw-count" }), () => { count.textContent = `${counted(now())}.`; });
  const plot = facePlot(ui, head, now);
  return [
    h("div", { class: "sw-pair sw-stays" },
      h("div", {}, plot.node, count, schemeList(ui, head), tick(ui, "numbers", "number the landmarks"),
        h("p", { class: "sw-hint" }, "Drag the head, or give it the focus and use the arrow keys (Home: straight ahead). " +
          "Filled: seen. Hollow: hidden. Orange: the jaw itself, and how far landmarks have slid off it."),
        h("div", { class: "sw-bar" },
          ui.button("Another face", () => ui.set(structuredClone(faces[next++ % faces.length]))), ui.reset(...MOVED))),
      h("div", { class: "sw-stack" },
        group("pose", ...pose), group("identity", ...identity), group("expression", ...expression))),
    ui.status(() => summary(now())),
  ];
}
const page = widget(build);
export default {
  async render(context) {
    const tables = context.model.get("tables"), numbers = await inflated(context.model.get("arrays"));
    heads.set(context.model, headOf(unpack(numbers, tables.sizes), tables));
    return page.render(context);
  },
};
