// Least angle regression, the mathematics of lddmmlib.lars for one target: the lasso's path on G = XᵀX and Xᵀy.
import { range } from "./numbers.js";

const STOP = 1e-12; // the path ends where λ falls below this share of its first value
const PIVOT = 1e-10; // a column joins only if the others explain less than 1 - PIVOT of its square
const total = h => h.reduce((sum, v) => sum + Math.abs(v), 0);
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
export const correlations = (gram, xy, h) => xy.map((v, j) => v - dot(gram[j], h));

/** The knots of min ½|y - X h|² + λ |h|₁ from h = 0 to least squares, or until |h|₁ reaches `budget`:
    { lambda, h, size, event }, size = |h|₁, event = { j, joins }, what happens there: null at the end. */
export function path(gram, xy, budget = Infinity) {
  const all = range(xy.length), signs = all.map(() => 0), table = gram.map(row => [...row]), knots = [];
  const stop = STOP * Math.max(...xy.map(Math.abs));
  for (let lambda = Infinity; ;) {
    // The tableau is the Gram swept on the active ones: -d and -u on them, G_·A d and G_·A u on the others.
    const on = all.filter(j => signs[j]);
    const product = v => all.map(j => on.reduce((sum, i) => sum + v[i] * table[i][j], 0));
    const a = product(signs), b = product(xy), next = nearest(gram, xy, table, signs, a, b);
    lambda = next.at > stop ? Math.min(next.at, lambda) : 0;
    const drops = j => lambda > 0 && next.drops[j] >= next.at; // who drops is exactly 0
    const h = all.map(j => (signs[j] && !drops(j) ? lambda * a[j] - b[j] : 0)), size = total(h);
    knots.push({ lambda, h, size, event: lambda > 0 ? { j: next.j, joins: !signs[next.j] } : null });
    if (lambda === 0 || size >= budget) return knots;
    if (knots.length > 50 * xy.length + 50) throw new Error("path: tied columns");
    signs[next.j] = signs[next.j] ? 0 : next.sign;
    sweep(table, next.j);
  }
}
/** The largest λ at which |c_j| meets it, or h_j meets 0; `drops` are the latter. */
function nearest(gram, xy, table, signs, a, b) {
  const best = { at: -1, drops: {} };
  for (const sign of [1, -1]) {
    for (const j of range(xy.length)) {
      const on = signs[j], below = on ? on * a[j] : 1 - sign * a[j];
      if (below <= 0 || (on ? sign < 0 : table[j][j] <= PIVOT * gram[j][j])) continue;
      const at = (on ? on * b[j] : sign * (xy[j] - b[j])) / below;
      if (on) best.drops[j] = at;
      if (at > best.at) Object.assign(best, { at, j, sign });
    }
  }
  return best;
}
/** Beaton's sweep operator: k joins, or drops. */
function sweep(table, k) {
  const row = [...table[k]], pivot = row[k], side = pivot > 0 ? 1 : -1;
  table.forEach((line, i) => line.forEach((v, j) => { line[j] = v - row[i] * row[j] / pivot; }));
  range(row.length).forEach(j => { table[k][j] = table[j][k] = side * row[j] / pivot; });
  table[k][k] = -1 / pivot;
}
/** The solution inside the path where `name`, "size" or "lambda", is `value`, and the knot before it. */
export function along(knots, name, value) {
  const beyond = knots.findIndex(knot => (name === "size" ? knot.size >= value : knot.lambda <= value));
  const k = beyond < 0 ? knots.length - 1 : beyond;
  if (k === 0 || beyond < 0) return { ...knots[k], k };
  const [low, high] = [knots[k - 1], knots[k]], u = (value - low[name]) / (high[name] - low[name]) || 0;
  const mix = (x, y) => x + u * (y - x);
  const [lambda, size] = ["lambda", "size"].map(each => mix(low[each], high[each]));
  return { lambda, size, h: low.h.map((v, j) => mix(v, high.h[j])), k: u === 1 ? k : k - 1 };
}
