// Heatmaps, the mathematics of lddmmlib.heatmaps in cells: a map is rows of values, map[y][x]; places are [x, y].
import { range } from "./numbers.js";

export const height = (sigma, peak) => (peak === "density" ? 1 / (2 * Math.PI * sigma ** 2) : 1);
export const softmaxWidth = (sigma, tau, peak) => sigma / Math.sqrt(tau * height(sigma, peak));

const ROUND = { none: v => v, round: v => Math.floor(v + 0.5), floor: Math.floor };
/** The Gaussian's centre, after the encoder's rounding. */
export const centre = (point, rounding) => point.map(ROUND[rounding]);
export function encode({ point, size, sigma, rounding, peak }) {
  const [gx, gy] = centre(point, rounding).map(u => range(size).map(k => Math.exp(-((k - u) ** 2) / (2 * sigma ** 2))));
  return gy.map(b => gx.map(a => height(sigma, peak) * b * a));
}

/** n standard normal numbers, the same for the same seed: mulberry32 and Box-Muller. */
export function normals(seed, n) {
  let state = seed | 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return range(n).map(() => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}
/** The map with noise, whose standard deviation is `noise` times the height of the peak. */
export function noisy(state) {
  const { size, sigma, peak, noise, seed } = state, by = noise * height(sigma, peak), n = normals(seed, size * size);
  return encode(state).map((row, y) => row.map((v, x) => v + (noise && by * n[y * size + x])));
}

/** The first of the largest values. */
export function largest(map) {
  let [x, y] = [0, 0];
  map.forEach((row, v) => row.forEach((value, u) => { if (value > map[y][x]) [x, y] = [u, v]; }));
  return [x, y];
}
const softmax = (map, tau, inside = () => true) => {
  const [px, py] = largest(map), most = map[py][px];
  return map.map((row, y) => row.map((v, x) => (inside(x - px, y - py) ? Math.exp(tau * (v - most)) : 0)));
};
const shares = weights => {
  const total = weights.flat().reduce((a, b) => a + b, 0);
  return weights.map(row => row.map(v => v / (total || 1)));
};
/** The cells' weights of a point less than one from the largest value: bilinear. */
const stepped = (map, step) => {
  const [px, py] = largest(map), [u, v] = step(map, px, py), near = d => Math.max(0, 1 - Math.abs(d));
  return map.map((row, y) => row.map((_, x) => near(x - px - u) * near(y - py - v)));
};
/** A quarter of the sign of the difference of the two neighbours; nothing at the border. */
function quarter(map, x, y) {
  const inside = [x, y].every(k => k > 0 && k < map.length - 1);
  return inside ? [map[y][x + 1] - map[y][x - 1], map[y + 1][x] - map[y - 1][x]].map(d => Math.sign(d) / 4) : [0, 0];
}
const WEIGHTS = {
  argmax: map => stepped(map, () => [0, 0]),
  quarter: map => stepped(map, quarter),
  soft: (map, { tau }) => shares(softmax(map, tau)),
  local_soft: (map, { tau, window }) => shares(softmax(map, tau, (...d) => d.every(k => Math.abs(k) <= window >> 1))),
  barycentre: map => shares(map.map(row => row.map(v => Math.max(0, v)))), // noise goes below 0
};
/** The weight of each cell, whose mean the decoded point is; null for "taylor", which has none. */
export const weights = (map, method, state) => WEIGHTS[method]?.(map, state) ?? null;
/** Sums over the rows: a weight for each column. */
export const across = weights => weights[0].map((_, x) => weights.reduce((sum, row) => sum + row[x], 0));

/** The parabola f + g·z + ½ z·A z of log h in the 3 x 3 cells around [x, y], and its top; null where a value is not
    above 0, or the top is no maximum within 2 cells of the largest value. */
export function parabola(map) {
  const peak = largest(map), [x, y] = peak.map(k => Math.min(Math.max(k, 1), map.length - 2)), near = [-1, 0, 1];
  if (!near.every(j => near.every(i => map[y + j][x + i] > 0))) return null;
  const f = (i, j) => Math.log(map[y + j][x + i]), g = [(f(1, 0) - f(-1, 0)) / 2, (f(0, 1) - f(0, -1)) / 2];
  const xx = f(1, 0) - 2 * f(0, 0) + f(-1, 0), yy = f(0, 1) - 2 * f(0, 0) + f(0, -1);
  const xy = (f(1, 1) - f(-1, 1) - f(1, -1) + f(-1, -1)) / 4, det = xx * yy - xy * xy;
  if (!(xx < 0 && det > 0)) return null;
  const top = [x + (xy * g[1] - yy * g[0]) / det, y + (xy * g[0] - xx * g[1]) / det];
  return top.every((t, k) => Math.abs(t - peak[k]) <= 2) ? { x, f: f(0, 0), g, xx, top } : null;
}
/** The landmark in a map, by the method of that name; state has the window and tau. */
export function decode(map, method, state) {
  const each = weights(map, method, state);
  if (!each) return parabola(map)?.top ?? largest(map);
  const mean = line => line.reduce((sum, v, k) => sum + v * k, 0);
  return [mean(across(each)), mean(each.map(row => row.reduce((a, b) => a + b, 0)))];
}

// ---------------------------------------------------------------------------------- the bias of the local soft-argmax

/** How far the local soft-argmax is off in x, where the landmark lies t beside a cell's centre in x and on it in y; or,
    on a grid `fine` (odd) times finer, how far the window alone would lead it. */
export function bias(t, { sigma, tau, window, peak }, fine = 1) {
  const near = Math.round(t), H = height(sigma, peak), g = d => Math.exp(-(d * d) / (2 * sigma ** 2));
  const n = window * fine >> 1, most = H * g(near - t); // nearly the largest
  let total = 0, moment = 0;
  for (let i = -n; i <= n; i++) {
    const x = i / fine, h = H * g(x + near - t);
    for (let j = 0; j <= n; j++) {
      const w = (j ? 2 : 1) * Math.exp(tau * (h * g(j / fine) - most));
      total += w;
      moment += w * x;
    }
  }
  return near + moment / total - t;
}
const PLACES = range(16).map(k => (k + 0.5) / 32); // half a cell: the other half mirrors it
export const worst = state => Math.max(...PLACES.map(t => Math.abs(bias(t, state))));
/** How far, to first order, the mean of a Gaussian of width s is off because it is sampled. */
export const aliasing = (t, s) => -4 * Math.PI * s * s * Math.exp(-2 * (Math.PI * s) ** 2) * Math.sin(2 * Math.PI * t);
