// Small arithmetic, linear systems, and numbers as words.
export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
export const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
export const range = n => Array.from({ length: n }, (_, i) => i);

/** 3.14159 -> "3.1", -0.04 -> "0.0": a true minus sign, and none before zero. */
export function decimal(x, digits = 1) {
  const text = x.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
/** A fraction in percent, without the sign: 0.1234 -> "12.3". */
export const percent = (x, digits = 1) => decimal(100 * x, digits);
/** "3.0 px right, 1.5 px up", where y points down. */
export function way([dx, dy], digits = 1) {
  const one = (d, back, forth) => `${decimal(Math.abs(d), digits)} px ${d < 0 ? back : forth}`;
  return `${one(dx, "left", "right")}, ${one(dy, "up", "down")}`;
}
/** The smallest and the largest of some numbers and of `low` and `high`, widened to round numbers, a few ticks, and their digits. */
export function rounded(values, low = 0, high = 0) {
  const least = Math.min(low, ...values), most = Math.max(high, ...values), rough = (most - least || 1) / 3;
  const ten = 10 ** Math.floor(Math.log10(rough)), step = ten * [1, 2, 5, 10].find(s => s * ten >= rough);
  const [from, to] = [Math.floor(least / step), Math.ceil(most / step)];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { y: [from * step, to * step], ticks: range(to - from + 1).map(i => (from + i) * step), digits };
}

/** Square matrix (n, n), row by row -> right sides (each n) -> solutions; by Gauss with row pivots. */
export function solver(matrix, n) {
  const lu = Float64Array.from(matrix), order = range(n);
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(lu[i * n + k]) > Math.abs(lu[best * n + k])) best = i;
    if (best !== k) {
      const row = lu.slice(k * n, k * n + n);
      lu.copyWithin(k * n, best * n, best * n + n);
      lu.set(row, best * n);
      [order[k], order[best]] = [order[best], order[k]];
    }
    for (let i = k + 1; i < n; i++) {
      const f = (lu[i * n + k] /= lu[k * n + k]);
      if (f !== 0) for (let j = k + 1; j < n; j++) lu[i * n + j] -= f * lu[k * n + j];
    }
  }
  return right => {
    const x = Float64Array.from(order, i => right[i]);
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) x[i] -= lu[i * n + j] * x[j];
    for (let i = n - 1; i >= 0; i--) {
      for (let j = i + 1; j < n; j++) x[i] -= lu[i * n + j] * x[j];
      x[i] /= lu[i * n + i];
    }
    return x;
  };
}
