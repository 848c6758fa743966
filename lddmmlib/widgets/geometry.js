// lddmmlib.faces for the widgets: the same head, camera, outline, mesh and visibility. A point is [x, y, z].
import { clamp, range, solver } from "./numbers.js";

export const dot = (a, b) => a.reduce((sum, v, k) => sum + v * b[k], 0);
const add = (a, b, s = 1) => a.map((v, k) => v + s * b[k]);
const times = (matrix, p) => matrix.map(row => dot(row, p));
const transposed = m => m[0].map((_, j) => m.map(row => row[j]));
const product = (a, b) => a.map(row => transposed(b).map(column => dot(row, column)));
const cross = ([a, b, c], [d, e, f]) => [b * f - c * e, c * d - a * f, a * e - b * d];
const unit = p => p.map(v => v / Math.hypot(...p));

// ------------------------------------------------------------------------------------------------------ splines

/** Values at the knots -> second derivatives there, of the natural cubic spline: its columns. */
function bends(at) {
  const n = at.length, gap = range(n - 1).map(i => at[i + 1] - at[i]), a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) a[i * n + i] = 1;
  for (let i = 1; i < n - 1; i++) a.set([gap[i - 1] / 6, (gap[i - 1] + gap[i]) / 3, gap[i] / 6], i * n + i - 1);
  const solve = solver(a, n);
  return range(n).map(j => solve(range(n).map(i => {
    const here = [1 / gap[i - 1], -1 / gap[i - 1] - 1 / gap[i], 1 / gap[i]];
    return i > 0 && i < n - 1 && Math.abs(j - i) <= 1 ? here[j - i + 1] : 0;
  })));
}
const known = new WeakMap(); // bends of each list of knots
/** The weights of knots at `at` in the natural cubic spline's value at t. */
export function spline(at, t) {
  const n = at.length;
  if (n === 1) return [1];
  if (!known.has(at)) known.set(at, bends(at));
  const i = clamp(at.findLastIndex(v => v <= t), 0, n - 2), h = at[i + 1] - at[i];
  const a = (at[i + 1] - t) / h, b = (t - at[i]) / h, bend = v => (v ** 3 - v) * h * h / 6;
  return known.get(at).map((m, j) => (j === i ? a : j === i + 1 ? b : 0) + bend(a) * m[i] + bend(b) * m[i + 1]);
}

// ------------------------------------------------------------------------------------------------------ the head

/** What is the same for every face. `arrays` and `tables` are what Python's `FaceExplorer` sends: flat arrays by name;
    knots, rows, expressions, schemes and constants by name. */
export function headOf(arrays, tables) {
  return { ...arrays, ...tables, plate: plate(arrays) };
}
/** The thin-plate spline of the chart: values (n, 3) at its controls -> values (k, 3) at `fill`. */
function plate({ controls, give, fill }) {
  const n = give.length, m = n + 3, count = fill.length / 2, system = new Float64Array(m * m);
  const rows = (chart, k) => {
    const all = new Float64Array(k * m);
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < n; j++) {
        const r2 = (chart[2 * i] - controls[2 * j]) ** 2 + (chart[2 * i + 1] - controls[2 * j + 1]) ** 2;
        all[i * m + j] = r2 === 0 ? 0 : r2 * Math.log(r2);
      }
      all.set([1, chart[2 * i], chart[2 * i + 1]], i * m + n);
    }
    return all;
  };
  system.set(rows(controls, n));
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < 3; k++) system[(n + k) * m + i] = system[i * m + n + k];
    system[i * m + i] += give[i];
  }
  const solve = solver(system, m), kernel = rows(fill, count);
  return values => {
    const [a, b, c] = range(3).map(k => solve(range(m).map(i => (i < n ? values[3 * i + k] : 0))));
    const out = new Float64Array(3 * count);
    for (let i = 0; i < count; i++) {
      let x = 0, y = 0, z = 0;
      for (let j = 0; j < m; j++) {
        const w = kernel[i * m + j];
        x += w * a[j]; y += w * b[j]; z += w * c[j];
      }
      out.set([x, y, z], 3 * i);
    }
    return out;
  };
}

/** All knots (rows, 3), flat, of identity and expression: `head.knots`. */
export function knots(head, identity, expression) {
  const x = Float64Array.from(head.mean);
  for (const [weights, basis] of [[identity, head.bases], [expression, head.moves]]) {
    weights.forEach((w, k) => { if (w) for (let i = 0; i < x.length; i++) x[i] += w * basis[k * x.length + i]; });
  }
  const strength = name => expression[head.expressions.indexOf(name)];
  const [closed, wide] = [strength("eyes_closed"), strength("eyes_wide")];
  for (const side of ["left", "right"]) lids(head, x, side, closed, wide);
  lips(head, x);
  return x;
}
const at = (x, i) => [x[3 * i], x[3 * i + 1], x[3 * i + 2]];
/** The knots of a curve without its ends. */
const inner = (head, name) => range(head.knots[name].length - 2).map(i => head.rows[name] + 1 + i);

/** The greater of two, smoothly. */
const greater = (a, b, seam) => (a + b + Math.sqrt((a - b) ** 2 + seam ** 2)) / 2;
function lids({ eyeball, lid, seam, opening, ...head }, x, side, closed, wide) {
  const [ups, lows] = ["upper", "lower"].map(edge => inner(head, `${side}_eye_${edge}`)), all = [...ups, ...lows];
  const centre = [0, 1, 2].map(k => all.reduce((sum, i) => sum + x[3 * i + k], 0) / all.length);
  centre[2] -= 0.85 * eyeball;
  x.set(centre, 3 * head.rows[`${side}_eyeball`]);
  const onBall = ([u, v]) => {
    const up = (eyeball + lid) ** 2 - (u - centre[0]) ** 2 - (v - centre[1]) ** 2;
    return [u, v, centre[2] + Math.sqrt(Math.max(up, 1e-4))];
  };
  ups.forEach((i, k) => {
    const d = add(at(x, i), at(x, lows[k]), -1);
    d[1] = -greater(-d[1], opening, seam);
    const low = add(at(x, lows[k]), d, 0.15 * closed);
    const up = add(low, d, (1 - closed) * (1 + 0.35 * wide) * (1 - 0.15 * closed));
    x.set(onBall(up), 3 * i);
    x.set(onBall(low), 3 * lows[k]);
  });
}
/** Inner lips that part where they would cross, and outer lips no thinner than `head.lip`. */
function lips(head, x) {
  const { seam } = head, [ups, lows] = ["upper", "lower"].map(edge => inner(head, `inner_lip_${edge}`));
  const gap = ups.map((i, k) => x[3 * lows[k] + 1] - x[3 * i + 1]), middle = greater(gap[1], seam, seam);
  gap.forEach((g, k) => {
    const down = ((k === 1 ? middle : greater(g, 0.35 * middle, seam)) - g) / 2;
    x[3 * ups[k] + 1] -= down;
    x[3 * lows[k] + 1] += down;
  });
  for (const [edge, side] of [["upper", -1], ["lower", 1]]) {
    const least = [0.6, 1, 1, 1, 0.6].map(v => v * head.lip), rows = inner(head, `outer_lip_${edge}`);
    const within = knotCurve({ head, knots: x }, `inner_lip_${edge}`, least.map((_, k) => (k + 1) / 6));
    rows.forEach((row, k) => {
      const thick = side * (x[3 * row + 1] - within[k][1]);
      x[3 * row + 1] += side * (greater(thick, least[k], seam) - thick);
    });
  }
}

// ------------------------------------------------------------------------------------------------------- a face

export function rotation(yaw, pitch, roll) {
  const [[cy, sy], [cp, sp], [cr, sr]] = [yaw, pitch, roll].map(a => [Math.cos(a), Math.sin(a)]);
  const turn = [[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], nod = [[1, 0, 0], [0, cp, -sp], [0, sp, cp]];
  return product([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]], product(nod, turn));
}
/** A face: `state` has identity, expression, yaw, pitch, roll (radians), scale (px) and centre, as `Face3D`. */
export function faceOf(head, state) {
  const turn = rotation(state.yaw, state.pitch, state.roll), x = knots(head, state.identity, state.expression);
  const still = x.slice();
  for (const side of ["left", "right"]) {
    head.neckShare.forEach((share, i) => {
      const body = rotation(share * state.yaw, share * state.pitch, share * state.roll);
      const row = head.rows[`${side}_neck`] + i, from = add(at(x, row), head.pivot, -1);
      x.set(add(head.pivot, times(product(transposed(turn), body), from)), 3 * row);
    });
  }
  const face = { ...state, head, rotation: turn, knots: x, still };
  return { ...face, slide: slide(face) };
}
/** Head frame -> camera frame, px: x right, y down, z to the camera. */
export function toCamera({ rotation, scale, centre }, p) {
  const [x, y, z] = times(rotation, p);
  return [scale * x + centre[0], scale * y + centre[1], scale * z];
}
function knotCurve({ head, knots }, name, ts, like = name) {
  return ts.map(t => spline(head.knots[like], t).reduce((p, w, i) => add(p, at(knots, head.rows[name] + i), w), [0, 0, 0]));
}

// ---------------------------------------------------------------------------------------------- where it is seen

const PARTS = ["", "_out", "_front", "_back"];
const slicesAt = (face, name, ts) => PARTS.map(part => knotCurve(face, name + part, ts, name));
/** p(t, s) from P, L, F, K: the point of a slice at the angle s. */
function slicePoint([place, out, front, back], i, s) {
  const forth = Math.max(Math.sin(s), 0), back_ = Math.min(Math.sin(s), 0);
  return place[i].map((p, k) => p + (Math.cos(s) - 1) * out[i][k] + forth * front[i][k] - back_ * back[i][k]);
}
/** Unit normals of a polyline in the picture, to the left of the direction of travel. */
function normals(p) {
  const n = p.length, ends = [add(p[0].map(v => 2 * v), p[1], -1), ...p, add(p[n - 1].map(v => 2 * v), p[n - 2], -1)];
  return p.map((_, i) => unit([ends[i][1] - ends[i + 2][1], ends[i + 2][0] - ends[i][0]]));
}
/** The angles at which the jaw's slices are seen edge-on, at `head.grid`: `contour.angles`. */
function slide(face) {
  const { grid, rounds, slides: [low, high] } = face.head;
  const flat = slicesAt(face, "jaw", grid).map(ps => ps.map(p => times(face.rotation, p).slice(0, 2)));
  let s = grid.map(() => 0);
  for (let round = 0; round < rounds; round++) {
    s = normals(s.map((v, i) => slicePoint(flat, i, v))).map((n, i) => {
      const [a, b, c] = flat.slice(1).map(ps => dot(n, ps[i]));
      return clamp(Math.atan2(b > 0 ? b : -c, a), low, high);
    });
  }
  return s;
}
function interpolated(x, xs, ys) {
  const i = clamp(xs.findLastIndex(v => v <= x), 0, xs.length - 2);
  return ys[i] + (x - xs[i]) / (xs[i + 1] - xs[i]) * (ys[i + 1] - ys[i]);
}
/** The points of the jaw's slices that are seen edge-on. */
function edge(face, ts) {
  const parts = slicesAt(face, "jaw", ts);
  return ts.map((t, i) => slicePoint(parts, i, interpolated(t, face.head.grid, face.slide)));
}
/** The slices at which annotators put the jaw's ts. */
const slipped = ({ head, rotation }, ts) => ts.map(t => t - rotation[2][0] * dot(spline(head.knots.jaw, t), head.slip));

// ------------------------------------------------------------------------------------------------------- curves

export function gaze({ head, expression }) {
  const [a, b] = ["gaze_x", "gaze_y"].map((name, k) => expression[head.expressions.indexOf(name)] * head.gaze[k]);
  return [Math.sin(a) * Math.cos(b), Math.sin(b), Math.cos(a) * Math.cos(b)];
}
/** Points of a curve in the head frame, where they lie on the head. */
function place(face, name, ts) {
  const { head } = face, [side, ...words] = name.split("_"), rest = words.join("_");
  const ball = () => at(face.knots, head.rows[`${side}_eyeball`]);
  if (head.bands.includes(name) && rest !== "brow") {
    const [upper, lower] = ["upper", "lower"].map(e => knotCurve(face, `${name}_${e}`, ts));
    return upper.map((p, i) => add(p, lower[i]).map(v => v / 2));
  }
  if (rest === "brow_upper" || rest === "brow_lower") {
    const half = knotCurve(face, `${side}_brow_half`, ts), sign = rest === "brow_upper" ? 1 : -1;
    return knotCurve(face, `${side}_brow`, ts).map((p, i) => add(p, half[i], sign));
  }
  if (rest === "pupil") return ts.map(() => add(ball(), gaze(face), head.eyeball));
  if (rest === "iris") return ts.map(t => irisPoint(face, ball(), 2 * Math.PI * t));
  if (name === "hairline") {
    const [start, stop, angle] = head.hairline, parts = slicesAt(face, "crown", ts.map(t => start + (stop - start) * t));
    return ts.map((_, i) => slicePoint(parts, i, angle));
  }
  return knotCurve(face, name, ts);
}
function irisPoint(face, ball, turn) {
  const { eyeball, iris } = face.head, axis = gaze(face), right = unit(cross([0, 1, 0], axis)), down = cross(axis, right);
  const middle = add(ball, axis, Math.sqrt(eyeball ** 2 - iris ** 2));
  return add(add(middle, right, iris * Math.cos(turn)), down, iris * Math.sin(turn));
}
const seen = (face, name, ts) => (name === "jaw" ? edge(face, slipped(face, ts)) : place(face, name, ts));

/** Points at ts on a curve: camera frame, px. */
export const curve = (face, name, ts) => seen(face, name, ts).map(p => toCamera(face, p));
/** The jaw itself, from which its outline slides away. */
export const jawPlaces = (face, ts) => slicesAt(face, "jaw", slipped(face, ts))[0].map(p => toCamera(face, p));

// ------------------------------------------------------------------------------------- mesh, landmarks, what is seen

/** Rows of a sparse matrix (starts, columns, values) times knots (rows, 3). */
function sparse({ starts, columns, values }, x) {
  const out = new Float64Array(3 * (starts.length - 1));
  for (let i = 0; i + 1 < starts.length; i++) {
    for (let j = starts[i]; j < starts[i + 1]; j++) {
      for (let k = 0; k < 3; k++) out[3 * i + k] += values[j] * x[3 * columns[j] + k];
    }
  }
  return out;
}
let last = {}; // turning a head leaves its skin as it is
function between(head, still) {
  const same = last.head === head && last.still.every((v, i) => v === still[i]);
  if (!same) last = { head, still, skin: head.plate(sparse(head.pull, still)) };
  return last.skin;
}
/** Vertices (v, 3), flat, in the camera frame: `geometry.mesh`. The triangles are `head.triangles`, flat. */
export function mesh(face) {
  const { head, rotation: r, scale, centre: [cx, cy] } = face;
  const drawn = sparse(head.direct, face.knots), skin = between(head, face.still), first = 3 * head.before;
  const x = new Float64Array(drawn.length + skin.length);
  x.set(drawn.subarray(0, first));
  x.set(skin, first);
  x.set(drawn.subarray(first), first + skin.length);
  for (let i = 0; i < x.length; i += 3) {
    const [a, b, c] = [x[i] + head.constant[i], x[i + 1] + head.constant[i + 1], x[i + 2] + head.constant[i + 2]];
    x[i] = scale * (r[0][0] * a + r[0][1] * b + r[0][2] * c) + cx;
    x[i + 1] = scale * (r[1][0] * a + r[1][1] * b + r[1][2] * c) + cy;
    x[i + 2] = scale * (r[2][0] * a + r[2][1] * b + r[2][2] * c);
  }
  return x;
}
/** Whether the mesh `x` stands before each point. */
function covered({ head, scale }, x, points) {
  const off = head.standsBefore * scale, f = head.triangles, out = points.map(() => false);
  const order = range(points.length).sort((i, j) => points[i][0] - points[j][0]), xs = order.map(i => points[i][0]);
  for (let i = 0; i < f.length; i += 3) {
    const a = 3 * f[i], b = 3 * f[i + 1], c = 3 * f[i + 2], ax = x[a], ay = x[a + 1], az = x[a + 2];
    const ux = x[b] - ax, uy = x[b + 1] - ay, vx = x[c] - ax, vy = x[c + 1] - ay, area = ux * vy - uy * vx;
    const left = Math.min(ax, x[b], x[c]), right = Math.max(ax, x[b], x[c]);
    if (area === 0 || right < xs[0]) continue;
    for (let k = firstFrom(xs, left); k < xs.length && xs[k] <= right; k++) {
      const p = points[order[k]], px = p[0] - ax, py = p[1] - ay;
      const s = (px * vy - py * vx) / area, t = (ux * py - uy * px) / area;
      const before = s * (x[b + 2] - az) + t * (x[c + 2] - az) - (p[2] - az) > off;
      if (before && s >= 0 && t >= 0 && s + t <= 1) out[order[k]] = true;
    }
  }
  return out;
}
/** Where in a rising list the numbers begin that are at least v. */
function firstFrom(rising, v) {
  let low = 0, high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] < v) low = middle + 1;
    else high = middle;
  }
  return low;
}
/** The landmarks of a scheme: points [x, y, z] in px, and whether each is visible. `x` is the face's mesh. */
export function landmarks(face, scheme, x = mesh(face)) {
  const placements = face.head.schemes[scheme], points = [], off = [];
  for (const name of new Set(placements.map(([name]) => name))) {
    const mine = range(placements.length).filter(i => placements[i][0] === name), ts = mine.map(i => placements[i][1]);
    const places = name === "jaw" ? jawPlaces(face, ts) : null, far = face.head.standsBefore * face.scale;
    curve(face, name, ts).forEach((p, k) => {
      points[mine[k]] = p;
      off[mine[k]] = places !== null && Math.hypot(p[0] - places[k][0], p[1] - places[k][1]) > far;
    });
  }
  return { points, visible: covered(face, x, points).map((hidden, i) => !hidden && !off[i]) };
}

/** Yaw and pitch (radians) that bring the head's point p, from what it turns about, to [x, y] in the picture, from
    where that is seen and in the head's unit; or as near as the limits allow. */
export function turnedTo(roll, p, [x, y], limits) {
  const [c, s] = [Math.cos(roll), Math.sin(roll)], arc = (v, r) => Math.asin(clamp(v / r, -1, 1));
  const within = (v, limit) => clamp(v, -limit, limit);
  const yaw = within(arc(c * x + s * y, Math.hypot(p[0], p[2])) - Math.atan2(p[0], p[2]), limits[0]);
  const depth = p[2] * Math.cos(yaw) - p[0] * Math.sin(yaw);
  return [yaw, within(Math.atan2(p[1], depth) - arc(c * y - s * x, Math.hypot(p[1], depth)), limits[1])];
}
