// Landmarks and curves under the kernel exp(-|a - b|²/σ²): flows, geodesics, what they conserve, currents.
// Points are lists of [x, y]; time runs from 0 to 1. As lddmmlib.flows and lddmmlib.currents have it, in doubles.
import { range } from "./numbers.js";

const FINE = 64, FAR = 40;
const TABLE = Float64Array.from({ length: FINE * FAR + 1 }, (_, i) => Math.exp(-i / FINE));
/** exp(-u), u >= 0, to 13 digits: the nearest entry of a table times a Taylor polynomial, sooner than Math.exp. */
export function expMinus(u) {
  if (u >= FAR) return 0; // 4e-18
  const i = (FINE * u + 0.5) | 0, d = i / FINE - u;
  return TABLE[i] * (1 + d * (1 + d * (1 / 2 + d * (1 / 6 + d / 24))));
}
export const gaussian = ([x, y], [u, v], sigma) => expMinus(((x - u) ** 2 + (y - v) ** 2) / sigma ** 2);

// ---------------------------------------------------------------------------------------------------- flows

/** Adds to `out` the velocities Σ_j K(z_i, x_j) p_j at the places z; all flat: x0, y0, x1, y1, ... */
function addVelocity(out, z, x, p, scale) {
  for (let i = 0; i < z.length; i += 2) {
    let u = 0, v = 0;
    for (let j = 0; j < x.length; j += 2) {
      const dx = z[i] - x[j], dy = z[i + 1] - x[j + 1], k = expMinus(scale * (dx * dx + dy * dy));
      u += k * p[j];
      v += k * p[j + 1];
    }
    out[i] += u;
    out[i + 1] += v;
  }
}
/** Adds to `out` the changes of momentum -Σ_j (p_i·p_j) ∇₁K(x_i, x_j) = 2/σ² Σ_j (p_i·p_j) K(x_i, x_j) (x_i - x_j). */
function addForce(out, x, p, scale) {
  for (let i = 0; i < x.length; i += 2) {
    for (let j = 0; j < i; j += 2) { // what j does to i, i does to j in the other direction
      const dx = x[i] - x[j], dy = x[i + 1] - x[j + 1], dot = p[i] * p[j] + p[i + 1] * p[j + 1];
      const f = 2 * scale * dot * expMinus(scale * (dx * dx + dy * dy));
      out[i] += f * dx; out[i + 1] += f * dy;
      out[j] -= f * dx; out[j + 1] -= f * dy;
    }
  }
}
/** Runge-Kutta: a stage starts where the slope of the one before leads after `reach` of a step; weights of the slopes. */
export const METHODS = {
  euler: { reach: [0], weights: [1] },
  rk2: { reach: [0, 1 / 2], weights: [0, 1] }, // the midpoint
  rk4: { reach: [0, 1 / 2, 1 / 2, 1], weights: [1 / 6, 1 / 3, 1 / 3, 1 / 6] },
};
function along(y, h, slope) {
  const out = new Float64Array(y.length);
  for (let i = 0; i < y.length; i++) out[i] = y[i] + h * slope[i];
  return out;
}
function stepped(y, slopeOf, h, { reach, weights }) {
  const sum = new Float64Array(y.length);
  let slope = sum;
  reach.forEach((c, s) => {
    slope = slopeOf(c ? along(y, c * h, slope) : y);
    for (let i = 0; i < sum.length; i++) sum[i] += weights[s] * slope[i];
  });
  return along(y, h, sum);
}
/** Landmarks x0 with momenta p0 and passengers, after 0, 1, ... steps of 1/`steps` each, `taken` of them: the lists
    `path` and `momenta`, where the passengers are at the end, and `steepest`, the largest bound on the slope of any
    field that a step looked up. model: "shoot", momenta obey the geodesic equation; "flow", they are constant. */
export function flow({ x0, p0, sigma, steps, method = "rk2", model = "shoot", passengers = [], taken = steps }) {
  const moving = range(x0.length).filter(i => p0[i][0] || p0[i][1]); // one without momentum has none ever after
  const riding = range(x0.length).filter(i => !moving.includes(i));
  const n = 2 * moving.length, scale = 1 / sigma ** 2;
  const order = [...moving.map(i => x0[i]), ...moving.map(i => p0[i]), ...riding.map(i => x0[i]), ...passengers];
  let steepest = 0;
  const slopeOf = y => {
    const slope = new Float64Array(y.length), x = y.subarray(0, n), p = y.subarray(n, 2 * n);
    addVelocity(slope.subarray(0, n), x, x, p, scale);
    steepest = Math.max(steepest, slopeBound(slope, p) / sigma);
    addVelocity(slope.subarray(2 * n), y.subarray(2 * n), x, p, scale);
    if (model === "shoot") addForce(slope.subarray(n, 2 * n), x, p, scale);
    return slope;
  };
  const states = [Float64Array.from(order.flat())];
  for (let k = 0; k < taken; k++) states.push(stepped(states[k], slopeOf, 1 / steps, METHODS[method]));
  const at = (y, i) => [y[2 * i], y[2 * i + 1]], last = states.at(-1), m = moving.length;
  const place = Object.fromEntries([...moving.map((i, k) => [i, k]), ...riding.map((i, k) => [i, 2 * m + k])]);
  return {
    path: states.map(y => x0.map((_, i) => at(y, place[i]))),
    momenta: states.map(y => x0.map((_, i) => (place[i] < m ? at(y, m + place[i]) : [0, 0]))),
    passengers: passengers.map((_, i) => at(last, m + x0.length + i)),
    steepest,
  };
}
/** √2 ||v||_V by ||v||²_V = Σ p·v, with room for rounding, which leaves no digit of v where large momenta cancel. */
function slopeBound(v, p) {
  let norm2 = 0, total = 0;
  for (let i = 0; i < p.length; i += 2) {
    norm2 += p[i] * v[i] + p[i + 1] * v[i + 1];
    total += Math.hypot(p[i], p[i + 1]);
  }
  return Math.sqrt(2 * (Math.max(norm2, 0) + 4 * Number.EPSILON * total ** 2));
}

const CONTRACTS = { euler: 1, rk2: Math.sqrt(3) - 1, rk4: 0.6939 }; // as lddmmlib.flows.REACH
const MOST_STEPS = 10_000; // as lddmmlib.flows.MOST_STEPS
/** A number of steps that is sure to fold nothing, `flows.min_steps`: of a geodesic the number that its start needs,
    doubled until the whole path that it gives is certified; Infinity where that takes more than `most`. */
export function minSteps({ x0, p0, sigma, method, model, most = MOST_STEPS }) {
  const given = { x0, p0, sigma, method, model }, reach = CONTRACTS[method];
  const needed = slope => Math.floor(slope / reach) + 1;
  if (model !== "shoot") {
    return needed(Math.sqrt(2 / Math.E) / sigma * p0.reduce((sum, p) => sum + Math.hypot(...p), 0));
  }
  const start = flow({ ...given, method: "euler", steps: 1 }).steepest; // its one step looks at the start alone
  for (let steps = needed(start); steps <= most; steps *= 2) {
    if (flow({ ...given, steps }).steepest / steps < reach) return steps;
  }
  return Infinity;
}

// ------------------------------------------------------------------------------------------ what is conserved

/** H = ½ Σ_ij K(x_i, x_j) p_i·p_j, half the squared speed of the flow. */
export const hamiltonian = (x, p, sigma) => inner({ centres: x, vectors: p }, { centres: x, vectors: p }, sigma) / 2;
export const totalMomentum = p => p.reduce(([u, v], [x, y]) => [u + x, v + y], [0, 0]);
/** Σ x ∧ p about the origin. */
export const angularMomentum = (x, p) => x.reduce((sum, [u, v], i) => sum + u * p[i][1] - v * p[i][0], 0);

// ------------------------------------------------------------------------------------------------------- grids

/** The nodes of a grid, row after row. */
export const lattice = ([left, right], [top, bottom], columns, rows) => range(rows).flatMap(r => range(columns)
  .map(c => [left + c * (right - left) / (columns - 1), top + r * (bottom - top) / (rows - 1)]));
/** For each cell of a moved lattice its four nodes `at`, their places `corners`, its area now by its area before as `det`,
    and whether it is `bent` so much that one of its corners is turned over, as in a fold. */
export function cells(nodes, columns, area) {
  const out = [], turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  for (let i = 0; i + columns + 1 < nodes.length; i++) {
    if (i % columns === columns - 1) continue;
    const at = [i, i + 1, i + columns + 1, i + columns], corners = at.map(k => nodes[k]), [a, b, c, d] = corners;
    const least = Math.min(turn(a, b, d), turn(b, c, a), turn(c, d, b), turn(d, a, c));
    out.push({ at, corners, det: (turn(a, b, c) + turn(a, c, d)) / (2 * area), bent: least <= 0 });
  }
  return out;
}
/** det Dφ of the flow at some places, from where two near neighbours of each go. */
export function determinants(given, places) {
  const e = 1e-6 * given.sigma, passengers = places.flatMap(([x, y]) => [[x, y], [x + e, y], [x, y + e]]);
  const ends = flow({ ...given, passengers }).passengers;
  return places.map((_, i) => {
    const [[x, y], right, below] = ends.slice(3 * i, 3 * i + 3);
    return ((right[0] - x) * (below[1] - y) - (right[1] - y) * (below[0] - x)) / e ** 2;
  });
}

// ---------------------------------------------------------------------------------------------------- currents

/** A curve as a current: the vectors of its segments, each at its segment's middle. */
export function segments(curve, closed = false) {
  const ends = closed ? [...curve, curve[0]] : curve, pairs = ends.slice(1).map((b, i) => [ends[i], b]);
  return {
    centres: pairs.map(([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]),
    vectors: pairs.map(([a, b]) => [b[0] - a[0], b[1] - a[1]]),
  };
}
/** Σ_ij K(c_i, d_j) τ_i·υ_j. */
export function inner(one, other, sigma) {
  let sum = 0;
  one.centres.forEach((c, i) => {
    const [u, v] = fieldAt(other, c, sigma);
    sum += one.vectors[i][0] * u + one.vectors[i][1] * v;
  });
  return sum;
}
/** Σ_j K(z, c_j) τ_j: the field whose norm is the current's. */
export function fieldAt({ centres, vectors }, z, sigma) {
  let u = 0, v = 0;
  centres.forEach((c, j) => {
    const k = gaussian(z, c, sigma);
    u += k * vectors[j][0];
    v += k * vectors[j][1];
  });
  return [u, v];
}
/** one - other: both together, the other one backwards. */
export const minus = (one, other) => ({
  centres: [...one.centres, ...other.centres],
  vectors: [...one.vectors, ...other.vectors.map(([u, v]) => [-u, -v])],
});
export function norm2(curve, sigma, closed) {
  const current = segments(curve, closed);
  return inner(current, current, sigma);
}
export function distance2(a, b, sigma, closed) {
  const rest = minus(segments(a, closed), segments(b, closed));
  return inner(rest, rest, sigma);
}
/** Every segment halved: the same line. */
export const split = curve => curve.flatMap((b, i) => (i ? [[0, 1].map(k => (curve[i - 1][k] + b[k]) / 2), b] : [b]));
/** Every other point left out, but never the ends. */
export const coarsened = curve => curve.filter((_, i) => i % 2 === 0 || i === curve.length - 1);
