// lddmmlib.metrics for the widgets: the same numbers, for faces with every landmark labelled.
import { mean } from "./numbers.js";

export const distance = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
export const centroid = points => [0, 1].map(k => mean(points.map(p => p[k])));

/** What errors are divided by, by name, in the unit of `truth`; a scheme has .corners and .pupils. */
export function lengths(truth, { corners, pupils }) {
  const centre = eye => centroid(eye.map(i => truth[i]));
  const [[left, right], [top, bottom]] = box(truth), w = right - left, height = bottom - top;
  return {
    corners: distance(truth[corners[0]], truth[corners[1]]),
    pupils: distance(...pupils.map(centre)),
    box: Math.sqrt(w * height),
    diagonal: Math.hypot(w, height),
    face: (w + height) / 2,
  };
}
/** The extent of points: [[left, right], [top, bottom]]. */
export const box = points => [0, 1].map(k => {
  const along = points.map(p => p[k]);
  return [Math.min(...along), Math.max(...along)];
});

export const errors = (pred, truth, length) => pred.map((p, i) => distance(p, truth[i]) / length);
export const nme = (pred, truth, length) => mean(errors(pred, truth, length));

/** The five parts' two-way mean of nearest-neighbour distances, and `value`, the mean of the five. */
export function nmeCurve(pred, truth, parts, length) {
  const nearest = (p, others) => Math.min(...others.map(q => distance(p, q)));
  const each = Object.entries(parts).map(([name, part]) => {
    const [a, b] = [pred, truth].map(points => part.map(i => points[i]));
    return [name, mean([...a.map(p => nearest(p, b)), ...b.map(q => nearest(q, a))]) / length];
  });
  return { value: mean(each.map(([, error]) => error)), ...Object.fromEntries(each) };
}

/** Of errors (images) or (images x landmarks): FR^I or FR^L, the CED, the exact area below it. */
export const failureRate = (table, threshold) => mean(table.flat().map(e => (e > threshold ? 1 : 0)));
export const auc = (table, threshold) => mean(table.flat().map(e => Math.max(0, 1 - e / threshold)));
export const ced = (table, thresholds) => thresholds.map(t => 1 - failureRate(table, t));
