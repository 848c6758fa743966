// lddmmlib.polyharmonic for the widgets: splines, the map of every pixel with its determinant, and pictures read by it.
import { clamp, range, solver } from "./numbers.js";

/** φ(r) from r². */
export function phi(r2, order) {
  if (r2 === 0) return 0;
  return order === 2 ? r2 * Math.log(r2) / 2 : order === 1 ? Math.sqrt(r2) : r2 * Math.sqrt(r2);
}
const square = ([x, y], [u, v]) => (x - u) ** 2 + (y - v) ** 2;
const mean = points => [0, 1].map(k => points.reduce((sum, p) => sum + p[k], 0) / points.length);

/** Equation 1 through `values` (n, 2) at `controls` (n, 2), or near them; not finite where they do not determine it. */
export function fit(controls, values, order, smoothing = 0) {
  const n = controls.length, centre = mean(controls), middle = mean(values), sign = order === 1 ? -1 : 1;
  const scale = Math.sqrt(controls.reduce((sum, p) => sum + square(p, centre), 0) / n);
  const z = controls.map(p => [0, 1].map(k => (p[k] - centre[k]) / scale));
  const Phi = z.map(p => z.map(q => phi(square(p, q), order)));
  const one = z.map(p => [1, ...p]), rows = z.map((_, i) => [...Phi[i], ...one[i]]);
  for (const i of range(n)) rows[i][i] += sign * smoothing;
  for (const k of range(3)) rows.push([...one.map(p => p[k]), 0, 0, 0]);
  const solve = solver(rows.flat(), n + 3);
  const found = [0, 1].map(k => solve([...values.map(v => v[k] - middle[k]), 0, 0, 0]));
  const omega = z.map((_, i) => found.map(x => x[i]));
  const bent = omega.map((w, i) => omega.reduce((sum, v, j) => sum + Phi[i][j] * (w[0] * v[0] + w[1] * v[1]), 0));
  const b = found.map((x, k) => x[n] + middle[k]), V = found.map(x => [x[n + 1], x[n + 2]]);
  return { controls: z, omega, V, b, energy: sign * bent.reduce((sum, v) => sum + v, 0), centre, scale, order, solve };
}

/** f at points (m, 2). */
export const evaluate = ({ controls, omega, V, b, centre, scale, order }, points) => points.map(p => {
  const z = p.map((v, k) => (v - centre[k]) / scale), weights = controls.map(c => phi(square(z, c), order));
  return [0, 1].map(k => weights.reduce((sum, w, i) => sum + w * omega[i][k], V[k][0] * z[0] + V[k][1] * z[1] + b[k]));
});

/** Of a spline that gives moves: the move u, v of each pixel of size x size, row by row, and det D(y + move). */
export function field({ controls, omega, V, b, centre, scale, order }, size) {
  const n = controls.length, column = (x, k) => Float64Array.from(x, p => p[k]);
  const X = column(controls, 0), Y = column(controls, 1), A = column(omega, 0), B = column(omega, 1);
  const [u, v, det] = range(3).map(() => new Float64Array(size * size));
  for (let i = 0, at = 0; i < size; i++) {
    const y = (i - centre[1]) / scale;
    for (let j = 0; j < size; j++, at++) {
      const x = (j - centre[0]) / scale;
      let f = V[0][0] * x + V[0][1] * y + b[0], g = V[1][0] * x + V[1][1] * y + b[1];
      let [fx, fy, gx, gy] = [V[0][0], V[0][1], V[1][0], V[1][1]];
      for (let k = 0; k < n; k++) {
        const dx = x - X[k], dy = y - Y[k], r2 = dx * dx + dy * dy;
        if (r2 === 0) continue; // φ is 0 there, and its slope counts as 0
        const value = phi(r2, order), slope = order * value / r2, a = A[k] * slope, c = B[k] * slope;
        f += A[k] * value; g += B[k] * value;
        // φ'/r is this slope, and at order 2 one more: which sums to Σ ω (y - z)ᵀ = 0
        fx += a * dx; fy += a * dy; gx += c * dx; gy += c * dy;
      }
      u[at] = f; v[at] = g;
      det[at] = (1 + fx / scale) * (1 + gy / scale) - fy * gx / scale ** 2;
    }
  }
  return { u, v, det };
}

/** A picture of size x size (red, green, blue in turn), each pixel read where it moves to: red, green, blue, opaque. */
export function read(picture, { u, v }, size) {
  const out = new Float32Array(4 * size * size).fill(255), last = size - 1;
  for (let i = 0, at = 0; i < size; i++) {
    for (let j = 0; j < size; j++, at++) {
      const x = clamp(j + u[at], 0, last), y = clamp(i + v[at], 0, last), x0 = Math.floor(x), y0 = Math.floor(y);
      const right = 3 * (x0 < last), below = 3 * size * (y0 < last), s = x - x0, t = y - y0;
      for (let k = 0, a = 3 * (size * y0 + x0); k < 3; k++, a++) {
        const upper = (1 - s) * picture[a] + s * picture[a + right];
        const lower = (1 - s) * picture[a + below] + s * picture[a + below + right];
        out[4 * at + k] = (1 - t) * upper + t * lower;
      }
    }
  }
  return out;
}

/** Of a spline of order 2 that gives moves, its values `source` - controls: the derivative in the controls, px, of
    Σ (a · u + b · v) over the pixels of size x size. Implicit: with S c = values and move(p) = B(p)ᵀ c, take g = S⁻¹ Σ B(p) (a, b). */
export function pulled({ controls, omega, V, centre, scale, solve }, [a, b], size, smoothing = 0) {
  const n = controls.length, right = range(2).map(() => new Float64Array(n + 3)), direct = controls.map(() => [0, 0]);
  for (let i = 0, at = 0; i < size; i++) {
    for (let j = 0; j < size; j++, at++) {
      if (!a[at] && !b[at]) continue;
      const x = (j - centre[0]) / scale, y = (i - centre[1]) / scale;
      for (let k = 0; k < n; k++) {
        const dx = controls[k][0] - x, dy = controls[k][1] - y, r2 = dx * dx + dy * dy;
        if (r2 === 0) continue;
        const log = Math.log(r2), value = r2 * log / 2, bent = (a[at] * omega[k][0] + b[at] * omega[k][1]) * (log + 1);
        right[0][k] += value * a[at]; right[1][k] += value * b[at];
        direct[k][0] += bent * dx; direct[k][1] += bent * dy;
      }
      [1, x, y].forEach((v, d) => { right[0][n + d] += v * a[at]; right[1][n + d] += v * b[at]; });
    }
  }
  const [g, h] = right.map(r => solve(r)), dot = (k, [x, y]) => g[k] * x + h[k] * y;
  const stiff = smoothing * 2 / n * omega.reduce((sum, w, k) => sum + dot(k, w), 0);
  return controls.map((z, k) => {
    const own = direct[k].map((v, d) => v - stiff * z[d] - dot(k, [V[0][d], V[1][d]]) - dot(n + 1 + d, omega[k]));
    controls.forEach((other, j) => {
      const dx = z[0] - other[0], dy = z[1] - other[1], r2 = dx * dx + dy * dy;
      if (r2 === 0) return;
      const bent = (dot(k, omega[j]) + dot(j, omega[k])) * (Math.log(r2) + 1);
      own[0] -= bent * dx; own[1] -= bent * dy;
    });
    return [own[0] / scale - g[k], own[1] / scale - h[k]];
  });
}
