// Runs a network in the page: what `lddmmlib.widgets.network.portable` wrote down, one operation after the other, on one
// core, in plain JavaScript. A tensor is { shape, data }: numbers row by row, in a Float32Array.

const size = shape => shape.reduce((a, b) => a * b, 1);
const tensor = (shape, data = new Float32Array(size(shape))) => ({ shape, data });

// --------------------------------------------------------------------------------------------------- the file

/** IEEE half precision, 16 bits, as a number. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * fraction / 1024);
}
const READ = {
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => HALF[view.getUint16(at, true)],
};
const HALF = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));

/** What stands before the numbers, and where they start; nothing where that cannot be read. */
function headed(view) {
  try {
    const length = Number(view.getBigUint64(0, true)), text = new Uint8Array(view.buffer, view.byteOffset + 8, length);
    return { start: 8 + length, header: JSON.parse(new TextDecoder().decode(text)) };
  } catch { return { start: 0, header: {} }; }
}
/** The network in the bytes of a file, ready to `run`; `input` is the shape of what it takes. */
export function network(bytes) {
  const view = new DataView(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
  const { start, header: { __metadata__: { program } = {}, ...tensors } } = headed(view);
  if (!program) throw new Error("network: needed a file that `portable` made, got other bytes");
  const weights = {};
  for (const [name, { dtype, shape, data_offsets: [from] }] of Object.entries(tensors)) {
    const read = READ[dtype], step = dtype === "F16" ? 2 : 4, made = tensor(shape);
    for (let i = 0; i < made.data.length; i++) made.data[i] = read(view, start + from + step * i);
    weights[name] = made;
  }
  const { input, operations, outputs } = JSON.parse(program), last = {};
  operations.forEach((step, k) => {
    if (!OPERATIONS[step.op]) throw new Error(`network: does not know the operation ${step.op}`);
    if (step.op === "convolution") step.packed = packed(weights[step.inputs[1]], step.groups);
    for (const name of step.inputs) last[name] = k;
  });
  for (const name of outputs) delete last[name];
  return { input, operations, outputs, weights, last };
}
/** What the network makes of numbers of the shape `input`: the tensors that it returned in Python, in order. */
export function run({ input, operations, outputs, weights, last }, data) {
  if (data.length !== size(input)) throw new Error(`network: needed ${input.join(" x ")} numbers, got ${data.length}`);
  const values = { v0: tensor(input, Float32Array.from(data)) };
  operations.forEach((step, k) => {
    const given = step.inputs.map(name => (typeof name === "number" ? tensor([], [name]) : values[name] ?? weights[name]));
    values[`v${k + 1}`] = OPERATIONS[step.op](step, ...given);
    for (const name of step.inputs) if (last[name] === k) delete values[name];
  });
  return outputs.map(name => values[name]);
}

// ------------------------------------------------------------------------------------------------ convolution

// The product of a matrix of weights, one row an output channel, and one of patches, one column a pixel. Both are cut
// into strips of four, and a 4 x 4 tile of the result is summed up at a time, in sixteen local variables.
const TILE = 4, sums = new Float64Array(TILE * TILE);

/** Weights (o, c, kh, kw) in strips of four output channels, of each group; what is missing in the last strip is 0. */
function packed({ shape, data }, groups) {
  const outputs = shape[0] / groups, length = data.length / shape[0], strips = Math.ceil(outputs / TILE);
  return Array.from({ length: groups }, (_, group) => {
    const out = new Float64Array(strips * length * TILE);
    for (let o = 0; o < outputs; o++) {
      const to = Math.floor(o / TILE) * length * TILE + o % TILE, from = (group * outputs + o) * length;
      for (let k = 0; k < length; k++) out[to + k * TILE] = data[from + k];
    }
    return out;
  });
}
/** sums[4 i + j] = Σ_k rows[at + 4 k + i] columns[4 k + j]. */
function tile(rows, at, columns, length) {
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0, j = 0, k = 0, l = 0, m = 0, n = 0, o = 0, p = 0;
  for (let x = 0; x < TILE * length; x += TILE) {
    const s = columns[x], t = columns[x + 1], u = columns[x + 2], v = columns[x + 3];
    const r0 = rows[at + x], r1 = rows[at + x + 1], r2 = rows[at + x + 2], r3 = rows[at + x + 3];
    a += r0 * s; b += r0 * t; c += r0 * u; d += r0 * v;
    e += r1 * s; f += r1 * t; g += r1 * u; h += r1 * v;
    i += r2 * s; j += r2 * t; k += r2 * u; l += r2 * v;
    m += r3 * s; n += r3 * t; o += r3 * u; p += r3 * v;
  }
  sums[0] = a; sums[1] = b; sums[2] = c; sums[3] = d; sums[4] = e; sums[5] = f; sums[6] = g; sums[7] = h;
  sums[8] = i; sums[9] = j; sums[10] = k; sums[11] = l; sums[12] = m; sums[13] = n; sums[14] = o; sums[15] = p;
}
/** Maps (c, h, w) with `top` rows and `left` columns of zeros around them. */
function padded(data, from, channels, h, w, top, left) {
  if (!top && !left) return data.subarray(from, from + channels * h * w);
  const H = h + 2 * top, W = w + 2 * left, out = new Float32Array(channels * H * W);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const at = from + (c * h + y) * w;
      out.set(data.subarray(at, at + w), (c * H + y + top) * W + left);
    }
  }
  return out;
}
const channelwise = ({ shape: [count], data }, n) => (count ? data : new Float64Array(n).fill(data[0]));

/** scale · (weight * x) + shift for each output channel, then ReLU where `relu` says so. */
function convolution(step, x, weight, scales, shifts) {
  const { kernel: [kh, kw], stride: [sy, sx], padding: [py, px], dilation: [dy, dx], groups, relu } = step;
  const [batch, channels, h, w] = x.shape, [, outputs, rows, columns] = step.shape, out = tensor(step.shape);
  const inner = channels / groups, outer = outputs / groups, length = inner * kh * kw, pixels = rows * columns;
  const [H, W] = [h + 2 * py, w + 2 * px], scale = channelwise(scales, outputs), shift = channelwise(shifts, outputs);
  const reach = new Int32Array(length), patches = new Float64Array(TILE * length); // of a patch's numbers from its corner
  for (let c = 0, k = 0; c < inner; c++) {
    for (let y = 0; y < kh; y++) for (let z = 0; z < kw; z++) reach[k++] = (c * H + y * dy) * W + z * dx;
  }
  for (let image = 0; image < batch * groups; image++) {
    const group = image % groups, strips = step.packed[group], first = (image - group) / groups * outputs + group * outer;
    const maps = padded(x.data, image * inner * h * w, inner, h, w, py, px);
    for (let pixel = 0; pixel < pixels; pixel += TILE) {
      const many = Math.min(TILE, pixels - pixel);
      for (let j = 0; j < many; j++) {
        const y = Math.floor((pixel + j) / columns), corner = y * sy * W + (pixel + j - y * columns) * sx;
        for (let k = 0; k < length; k++) patches[TILE * k + j] = maps[corner + reach[k]];
      }
      for (let o = 0; o < outer; o += TILE) {
        tile(strips, o * length, patches, length);
        for (let i = 0; i < Math.min(TILE, outer - o); i++) {
          const channel = group * outer + o + i, to = (first + o + i) * pixels + pixel;
          for (let j = 0; j < many; j++) {
            const value = scale[channel] * sums[TILE * i + j] + shift[channel];
            out.data[to + j] = relu && value < 0 ? 0 : value;
          }
        }
      }
    }
  }
  return out;
}

// ------------------------------------------------------------------------------- element by element, and views

/** `shape` numbers of x, those at offset + Σ strides · index: a slice, a transposition, an expansion. */
function strided({ shape, strides, offset }, { data }) {
  const n = size(shape), index = new Int32Array(shape.length), steps = contiguous(shape);
  if (offset === 0 && n === data.length && shape.every((k, d) => k === 1 || strides[d] === steps[d])) {
    return tensor(shape, data);
  }
  const out = tensor(shape);
  for (let i = 0, at = offset; i < n; i++) {
    out.data[i] = data[at];
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}
const contiguous = shape => shape.map((_, d) => size(shape.slice(d + 1)));
/** x repeated along the axes that it lacks, or has one of, until it has the shape. */
function broadcast(x, shape) {
  const missing = shape.length - x.shape.length, steps = contiguous(x.shape);
  const strides = shape.map((n, d) => (d < missing || x.shape[d - missing] === 1 ? 0 : steps[d - missing]));
  return strided({ shape, strides, offset: 0 }, x).data;
}
const MAPS = {
  abs: Math.abs, exp: Math.exp, floor: Math.floor, log: Math.log, sqrt: Math.sqrt, tanh: Math.tanh, sign: Math.sign,
  maximum: (a, b) => Math.max(a, b), minimum: (a, b) => Math.min(a, b), pow: Math.pow,
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b,
  neg: a => -a, reciprocal: a => 1 / a, relu: a => (a < 0 ? 0 : a), sigmoid: a => 1 / (1 + Math.exp(-a)),
  eq: (a, b) => +(a === b), ne: (a, b) => +(a !== b), lt: (a, b) => +(a < b), le: (a, b) => +(a <= b),
  gt: (a, b) => +(a > b), ge: (a, b) => +(a >= b), where: (chosen, a, b) => (chosen ? a : b),
  bitwise_and: (a, b) => a & b, bitwise_or: (a, b) => a | b, bitwise_not: a => +!a,
  logical_and: (a, b) => +(a && b), logical_or: (a, b) => +!!(a || b), logical_not: a => +!a,
};
const mapped = f => ({ shape }, ...given) => {
  const out = tensor(shape), [a, b, c] = given.map(x => broadcast(x, shape));
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(a[i], b?.[i], c?.[i]);
  return out;
};
/** The sum, the most frequent of them, with ReLU where `relu` says so. */
function add({ shape, relu }, x, y) {
  const out = tensor(shape).data, a = broadcast(x, shape), b = broadcast(y, shape);
  for (let i = 0; i < out.length; i++) { const sum = a[i] + b[i]; out[i] = relu && sum < 0 ? 0 : sum; }
  return tensor(shape, out);
}
/** scale · x + shift for each channel. */
function affine({ shape, relu }, x, scale, shift) {
  const out = tensor(shape), each = size(shape.slice(2));
  for (let i = 0; i < out.data.length; i++) {
    const channel = Math.floor(i / each) % shape[1], value = scale.data[channel] * x.data[i] + shift.data[channel];
    out.data[i] = relu && value < 0 ? 0 : value;
  }
  return out;
}

// --------------------------------------------------------------------------------------- along one axis or more

/** x with the axes `dims` last: { rows, length, data }, and the strides that put a result of this order back. */
function lined(x, dims) {
  const kept = x.shape.map((_, d) => d).filter(d => !dims.includes(d)), order = [...kept, ...dims];
  const shape = order.map(d => x.shape[d]), steps = contiguous(x.shape), back = contiguous(shape);
  const { data } = strided({ shape, strides: order.map(d => steps[d]), offset: 0 }, x);
  const length = size(dims.map(d => x.shape[d]));
  return { data, length, rows: data.length / length, shape, back: x.shape.map((_, d) => back[order.indexOf(d)]) };
}
const best = better => (data, from, to) => {
  let at = from;
  for (let i = from + 1; i < to; i++) if (better(data[i], data[at])) at = i;
  return at;
};
const highest = best((a, b) => a > b), lowest = best((a, b) => a < b);
function total(data, from, to) {
  let sum = 0;
  for (let i = from; i < to; i++) sum += data[i];
  return sum;
}
const REDUCTIONS = {
  sum: total,
  mean: (data, from, to) => total(data, from, to) / (to - from),
  amax: (data, from, to) => data[highest(data, from, to)],
  amin: (data, from, to) => data[lowest(data, from, to)],
  argmax: (data, from, to) => highest(data, from, to) - from,
  argmin: (data, from, to) => lowest(data, from, to) - from,
  any: (data, from, to) => +data.subarray(from, to).some(Boolean),
  all: (data, from, to) => +data.subarray(from, to).every(Boolean),
};
const reduced = f => ({ shape, dims }, x) => {
  const { data, length, rows } = lined(x, dims), out = tensor(shape);
  for (let row = 0; row < rows; row++) out.data[row] = f(data, row * length, (row + 1) * length);
  return out;
};
/** exp(x - max) / Σ exp(x - max). */
function softmax({ shape, dims }, x) {
  const { data, length, rows, shape: order, back } = lined(x, dims), out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const from = row * length, most = data[highest(data, from, from + length)];
    let sum = 0;
    for (let i = from; i < from + length; i++) sum += (out[i] = Math.exp(data[i] - most));
    for (let i = from; i < from + length; i++) out[i] /= sum;
  }
  return strided({ shape, strides: back, offset: 0 }, tensor(order, out));
}
function cat({ shape, dim }, ...parts) {
  const out = tensor(shape), after = size(shape.slice(dim + 1)), line = shape[dim] * after;
  let start = 0;
  for (const { shape: part, data } of parts) {
    const length = part[dim] * after;
    for (let i = 0, to = start; i < data.length; i += length, to += line) out.data.set(data.subarray(i, i + length), to);
    start += length;
  }
  return out;
}
/** The numbers of x whose place along the axis `dim` the index says, as torch.gather has them. */
function gather({ shape, dim }, x, index) {
  const out = tensor(shape), steps = contiguous(x.shape), own = contiguous(shape);
  for (let i = 0; i < out.data.length; i++) {
    let at = index.data[i] * steps[dim];
    shape.forEach((n, d) => { if (d !== dim) at += Math.floor(i / own[d]) % n * steps[d]; });
    out.data[i] = x.data[at];
  }
  return out;
}
/** Matrices (..., m, k) times (..., k, n). */
function matmul({ shape }, a, b) {
  const out = tensor(shape), [m, n] = shape.slice(-2), k = a.shape.at(-1), row = new Float64Array(n);
  for (let i = 0; i < out.data.length / n; i++) {
    const matrix = Math.floor(i / m) * k * n;
    row.fill(0);
    for (let j = 0; j < k; j++) {
      const factor = a.data[i * k + j], at = matrix + j * n;
      for (let c = 0; c < n; c++) row[c] += factor * b.data[at + c];
    }
    out.data.set(row, i * n);
  }
  return out;
}

// ---------------------------------------------------------------------------------------- pooling and resizing

const pooled = (start, f, end = (sum, count) => sum) => ({ shape, kernel, stride, padding }, x) => {
  const out = tensor(shape), [rows, columns] = shape.slice(-2), [h, w] = x.shape.slice(-2);
  for (let i = 0; i < out.data.length; i++) {
    const map = Math.floor(i / (rows * columns)), y = Math.floor(i / columns) % rows, z = i % columns;
    const [top, left] = [y * stride[0] - padding[0], z * stride[1] - padding[1]];
    let sum = start;
    for (let v = Math.max(top, 0); v < Math.min(top + kernel[0], h); v++) {
      for (let u = Math.max(left, 0); u < Math.min(left + kernel[1], w); u++) sum = f(sum, x.data[(map * h + v) * w + u]);
    }
    out.data[i] = end(sum, kernel[0] * kernel[1]);
  }
  return out;
};
/** Where the cells of n lie among those of `from`: the two to each side and the share of the second one. */
function between(n, from, corners) {
  return Array.from({ length: n }, (_, i) => {
    const place = corners ? i * (from - 1) / Math.max(n - 1, 1) : Math.max((i + 0.5) * from / n - 0.5, 0);
    const low = Math.min(Math.floor(place), from - 1);
    return [low, Math.min(low + 1, from - 1), place - low];
  });
}
const nearest = (n, from) => Array.from({ length: n }, (_, i) => [Math.floor(i * from / n), Math.floor(i * from / n), 0]);
const resized = places => ({ shape, corners }, x) => {
  const out = tensor(shape), [rows, columns] = shape.slice(-2), [h, w] = x.shape.slice(-2);
  const down = places(rows, h, corners), across = places(columns, w, corners);
  for (let map = 0, i = 0; map < out.data.length / (rows * columns); map++) {
    for (const [top, bottom, v] of down) {
      const one = (map * h + top) * w, two = (map * h + bottom) * w;
      for (const [left, right, u] of across) {
        const above = x.data[one + left] * (1 - u) + x.data[one + right] * u;
        out.data[i++] = above * (1 - v) + (x.data[two + left] * (1 - u) + x.data[two + right] * u) * v;
      }
    }
  }
  return out;
};
/** The images at the places of a grid (b, h, w, 2), from -1 in their first pixel to 1 in their last; beyond, the border. */
function sampled({ shape: [batch, channels, rows, columns] }, x, grid) {
  const out = tensor([batch, channels, rows, columns]), [h, w] = x.shape.slice(-2), n = rows * columns;
  const within = (t, count) => Math.min(Math.max((t + 1) / 2 * (count - 1), 0), count - 1);
  for (let i = 0; i < batch * n; i++) {
    const u = within(grid.data[2 * i], w), v = within(grid.data[2 * i + 1], h), left = Math.floor(u), top = Math.floor(v);
    const right = Math.min(left + 1, w - 1), bottom = Math.min(top + 1, h - 1), image = Math.floor(i / n) * channels;
    for (let c = image; c < image + channels; c++) {
      const at = (y, z) => x.data[(c * h + y) * w + z];
      const above = at(top, left) * (left + 1 - u) + at(top, right) * (u - left);
      const below = at(bottom, left) * (left + 1 - u) + at(bottom, right) * (u - left);
      out.data[c * n + i % n] = above * (top + 1 - v) + below * (v - top);
    }
  }
  return out;
}

const each = (table, make) => Object.fromEntries(Object.entries(table).map(([name, f]) => [name, make(f)]));
const OPERATIONS = {
  ...each(MAPS, mapped), ...each(REDUCTIONS, reduced),
  add, affine, cat, convolution, gather, matmul, softmax, strided,
  max_pool2d: pooled(-Infinity, Math.max),
  avg_pool2d: pooled(0, (a, b) => a + b, (sum, count) => sum / count),
  upsample_bilinear2d: resized(between), upsample_nearest2d: resized(nearest), grid_sampler_2d: sampled,
};
/** The names of the operations that there are. */
export const known = () => Object.keys(OPERATIONS).sort();
