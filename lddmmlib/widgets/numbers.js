// Small arithmetic, and numbers as words.
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
