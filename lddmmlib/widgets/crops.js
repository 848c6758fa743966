// A face cut out of a photograph, as lddmmlib.data.crops cuts it, for squares that stand upright. Pixel centres are at
// integers. A photograph is { width, height, data }, data red, green, blue, alpha as a canvas has them.

export const MARGIN = 1.25; // side of the crop / longer side of the box, as lddmmlib.data.crops.MARGIN
/** The square { x, y, side } around its middle that a box (x, y, w, h) asks for: `crops.frame`. */
export const square = ([x, y, w, h], margin = MARGIN) => ({ x: x + w / 2, y: y + h / 2, side: margin * Math.max(w, h) });
/** Points of the photograph as points of a crop of `size` pixels, and back. */
export const toCrop = ({ x, y, side }, size, points) => {
  const k = size / side, middle = (size - 1) / 2;
  return points.map(([u, v]) => [middle + k * (u - x), middle + k * (v - y)]);
};
export const fromCrop = ({ x, y, side }, size, points) => {
  const k = size / side, middle = (size - 1) / 2;
  return points.map(([u, v]) => [x + (u - middle) / k, y + (v - middle) / k]);
};

const inside = (i, n) => Math.min(Math.max(i, 0), n - 1);
/** Along one axis: for each pixel of the crop the first pixel of the photograph that it sees, and the weights from there
    on. A bilinear value of the photograph after a Gaussian of standard deviation √(1/k² - 1)/2, where k < 1 shrinks. */
function taps(middle, side, size, length) {
  const k = size / side, sigma = 0.5 * Math.sqrt(Math.max(1 / k ** 2 - 1, 0));
  const reach = sigma ? Math.round(3 * sigma * 2 + 1) >> 1 : 0; // as far as OpenCV's kernel goes, for bytes
  const bell = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => (sigma ? Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)) : 1));
  const sum = bell.reduce((a, b) => a + b);
  return Array.from({ length: size }, (_, i) => {
    const place = inside(middle + (i - (size - 1) / 2) / k, length), first = Math.floor(place), share = place - first;
    const weights = new Float64Array(2 * reach + 2);
    bell.forEach((b, j) => { weights[j] += (1 - share) * b / sum; weights[j + 1] += share * b / sum; });
    return { from: first - reach, weights };
  });
}
/** The crop's red, green and blue, (3, size, size), whole numbers from 0 to 255: `crops.cut`. Beyond the photograph's
    border its last pixels go on. */
export function cut({ width, height, data }, { x, y, side }, size) {
  const across = taps(x, side, size, width), down = taps(y, side, size, height), out = new Float32Array(3 * size * size);
  const top = down[0].from, rows = down[size - 1].from + down[size - 1].weights.length - top;
  const lines = new Float32Array(rows * size * 3); // every row that is seen, resampled
  for (let row = 0; row < rows; row++) {
    const start = inside(top + row, height) * width;
    across.forEach(({ from, weights }, i) => {
      let r = 0, g = 0, b = 0;
      for (let j = 0; j < weights.length; j++) {
        const at = 4 * (start + inside(from + j, width)), w = weights[j];
        r += w * data[at]; g += w * data[at + 1]; b += w * data[at + 2];
      }
      lines.set([r, g, b], 3 * (row * size + i));
    });
  }
  down.forEach(({ from, weights }, k) => {
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let j = 0; j < weights.length; j++) sum += weights[j] * lines[3 * ((from - top + j) * size + i) + c];
        out[(c * size + k) * size + i] = Math.round(sum);
      }
    }
  });
  return out;
}
/** What a network is given: the crop, from 0 to 1. */
export const input = (photograph, place, size) => cut(photograph, place, size).map(v => v / 255);
