// A mesh in soft light, triangle by triangle into a picture with depth.

/** Directions (v, 3), flat, in which a mesh faces at its vertices: the mean over the triangles around each, by area. */
function normals(x, triangles) {
  const n = new Float32Array(x.length);
  for (let i = 0; i < triangles.length; i += 3) {
    const [a, b, c] = [3 * triangles[i], 3 * triangles[i + 1], 3 * triangles[i + 2]];
    const ux = x[b] - x[a], uy = x[b + 1] - x[a + 1], uz = x[b + 2] - x[a + 2];
    const vx = x[c] - x[a], vy = x[c + 1] - x[a + 1], vz = x[c + 2] - x[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
    for (const at of [a, b, c]) { n[at] += nx; n[at + 1] += ny; n[at + 2] += nz; }
  }
  return n;
}
/** How bright each vertex is: lit from the upper left, darker where the surface turns away. */
function brightness(x, triangles) {
  const n = normals(x, triangles), out = new Float32Array(x.length / 3), [lx, ly, lz] = [-0.42, -0.52, 0.74];
  for (let i = 0, k = 0; k < out.length; i += 3, k++) {
    const size = (Math.hypot(n[i], n[i + 1], n[i + 2]) || 1) * (n[i + 2] < 0 ? -1 : 1);
    const lit = Math.max(0, (n[i] * lx + n[i + 1] * ly + n[i + 2] * lz) / size);
    out[k] = (0.48 + 0.52 * lit) * (0.8 + 0.2 * Math.abs(n[i + 2] / size));
  }
  return out;
}

/** Room for a picture of width by height px at `fine` cells a pixel: pixels (RGBA) and depth. */
export function sheet(width, height, fine) {
  const w = Math.round(width * fine), h = Math.round(height * fine);
  return { width: w, height: h, fine, pixels: new Uint8ClampedArray(4 * w * h), depth: new Float32Array(w * h) };
}
/** Draws a mesh `x` (px) on a sheet. paint(triangle) is its colour [r, g, b], or a function of a point on it. */
export function relief(x, triangles, paint, { width, height, fine, pixels, depth }) {
  const bright = brightness(x, triangles), cell = v => (v + 0.5) * fine - 0.5; // pixel centres are at integers
  depth.fill(-Infinity);
  pixels.fill(0);
  for (let i = 0; i < triangles.length; i += 3) {
    const a = triangles[i], b = triangles[i + 1], c = triangles[i + 2];
    const ax = cell(x[3 * a]), ay = cell(x[3 * a + 1]), ux = cell(x[3 * b]) - ax, uy = cell(x[3 * b + 1]) - ay;
    const vx = cell(x[3 * c]) - ax, vy = cell(x[3 * c + 1]) - ay, area = ux * vy - uy * vx;
    if (area <= 0) continue; // it faces away
    const az = x[3 * a + 2], uz = x[3 * b + 2] - az, vz = x[3 * c + 2] - az;
    const own = paint(i / 3), each = typeof own === "function";
    const top = Math.max(0, Math.ceil(ay + Math.min(0, uy, vy)));
    const bottom = Math.min(height - 1, Math.floor(ay + Math.max(0, uy, vy)));
    const left = Math.max(0, Math.ceil(ax + Math.min(0, ux, vx)));
    const right = Math.min(width - 1, Math.floor(ax + Math.max(0, ux, vx)));
    const ds = vy / area, dt = -uy / area; // what a step to the right adds to a cell's share of b and of c
    const dz = ds * uz + dt * vz, light = ds * (bright[b] - bright[a]) + dt * (bright[c] - bright[a]);
    for (let v = top; v <= bottom; v++) {
      let s = ((left - ax) * vy - (v - ay) * vx) / area, t = (ux * (v - ay) - uy * (left - ax)) / area;
      let z = az + s * uz + t * vz, lit = (1 - s - t) * bright[a] + s * bright[b] + t * bright[c];
      for (let u = left, at = v * width + left; u <= right; u++, at++, s += ds, t += dt, z += dz, lit += light) {
        if (s < 0 || t < 0 || s + t > 1 || z <= depth[at]) continue;
        const colour = each ? own((u + 0.5) / fine - 0.5, (v + 0.5) / fine - 0.5, z) : own;
        depth[at] = z;
        pixels[4 * at] = lit * colour[0];
        pixels[4 * at + 1] = lit * colour[1];
        pixels[4 * at + 2] = lit * colour[2];
        pixels[4 * at + 3] = 255;
      }
    }
  }
}
/** How near the mesh is at a point of the picture; -Infinity beside it. */
export function depthAt({ depth, width, height, fine }, [x, y]) {
  const [u, v] = [x, y].map(at => Math.round((at + 0.5) * fine - 0.5));
  return u >= 0 && v >= 0 && u < width && v < height ? depth[v * width + u] : -Infinity;
}
