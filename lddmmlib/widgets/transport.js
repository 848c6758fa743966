// Optimal transport between heatmaps, the mathematics of lddmmlib.optimal_transport: a map is a flat array, its sum 1;
// a grid is { w, h, p }, its sides and the power of the distance that is the cost, in cells.
import { range } from "./numbers.js";

export const TOL = 1e-3, MOST = 1000; // of the marginals, of the steps: as in Python

/** A Gaussian at [x, y] on n x n cells. */
export function blob([x, y], sigma, n) {
  const [gx, gy] = [x, y].map(c => range(n).map(k => Math.exp(-((k - c) ** 2) / (2 * sigma ** 2))));
  const total = gx.reduce((a, b) => a + b) * gy.reduce((a, b) => a + b);
  return Float64Array.from({ length: n * n }, (_, i) => gy[Math.floor(i / n)] * gx[i % n] / total);
}
const kept = new Map(); // C and K = exp(-C/ε) of the last few ε: (w h)² numbers each
function kernel(eps, { w, h, p = 1 }) {
  const name = [eps, w, h, p].join();
  if (!kept.has(name)) {
    if (kept.size > 3) kept.delete(kept.keys().next().value);
    const N = w * h, [C, K] = [new Float64Array(N * N), new Float64Array(N * N)];
    for (let i = 0, at = 0; i < N; i++) {
      for (let j = 0; j < N; j++, at++) C[at] = Math.hypot(i % w - j % w, (i - i % w - j + j % w) / w) ** p;
    }
    C.forEach((c, at) => { K[at] = Math.exp(-c / eps); });
    kept.set(name, { C, K });
  }
  return kept.get(name);
}
/** Σ over y of K(x, y) w(y), for every x. */
function product(K, w) {
  const N = w.length, out = new Float64Array(N);
  for (let i = 0, at = 0; i < N; i++) {
    let [even, odd] = [0, 0]; // two sums at a time, N being even: twice as fast
    for (let j = 0; j < N; j += 2, at += 2) {
      even += K[at] * w[j];
      odd += K[at + 1] * w[j + 1];
    }
    out[i] = even + odd;
  }
  return out;
}
const dot = (x, y) => x.reduce((sum, xi, i) => sum + xi * y[i], 0);

/** The g to start from, nearly that of a shift by d, from the barycentre of v to that of u. */
function start(u, v, { w, p = 1 }) {
  const place = i => [i % w, Math.floor(i / w)];
  const d = [0, 1].map(k => u.reduce((sum, m, i) => sum + (m - v[i]) * place(i)[k], 0));
  const slope = d.map(x => p === 2 ? 2 * x : x / (1 + Math.hypot(...d)));
  return v.map((_, i) => -dot(slope, place(i)));
}
/** Entropic transport between u and v: the potentials f and g, cost, value and steps; from the potential g on. */
export function sinkhorn(u, v, eps, grid, { tol = TOL, from = start(u, v, grid) } = {}) {
  const { C, K } = kernel(eps, grid), weighed = (mass, h) => mass.map((m, i) => m * Math.exp(h[i] / eps));
  const half = (mass, h) => product(K, weighed(mass, h)).map(x => -eps * Math.log(x));
  let f = new Float64Array(u.length), g = from, steps = 0, residual = Infinity;
  while (steps < MOST) {
    const last = f;
    f = half(v, g);
    // the marginal of the last f and g is u exp((f - f_new)/ε)
    if (++steps > 1) residual = u.reduce((sum, m, i) => sum + m * Math.abs(Math.expm1((last[i] - f[i]) / eps)), 0);
    if (residual <= tol) break;
    g = half(u, f);
  }
  const [a, b] = [weighed(u, f), weighed(v, g)];
  let cost = 0;
  for (let i = 0, at = 0; i < u.length; i++) {
    for (let j = 0; j < u.length; j++, at++) cost += a[i] * K[at] * C[at] * b[j];
  }
  return { f, g, cost, value: dot(u, f) + dot(v, g), steps };
}
/** The heaviest pairs of cells of the plan u v exp((f + g - C)/ε): [from, to, mass], at most so many. */
export function heaviest(u, v, { f, g }, eps, grid, least, most) {
  const { C } = kernel(eps, grid), N = u.length, pairs = [];
  const [from, to] = [u, v].map(map => range(N).filter(i => map[i] > least)); // no more can leave or arrive
  for (const i of from) {
    for (const j of to) {
      const mass = u[i] * v[j] * Math.exp((f[i] + g[j] - C[i * N + j]) / eps);
      if (mass > least) pairs.push([i, j, mass]);
    }
  }
  return pairs.sort((x, y) => y[2] - x[2]).slice(0, most);
}

export const squares = (u, v) => u.reduce((sum, x, i) => sum + (x - v[i]) ** 2, 0);
/** The gradient behind a softmax, u (φ - Σ u φ), where φ is that in u; and its length. */
export function behindSoftmax(u, phi) {
  const mean = u.reduce((sum, x, i) => sum + x * phi[i], 0);
  return u.map((x, i) => x * (phi[i] - mean));
}
export const norm = x => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
