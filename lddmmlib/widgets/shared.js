// What every widget is built from: a page's elements, plots that stay sharp and follow the theme, handles and sliders
// for mouse, touch and keyboard. A widget's script exports its mathematics as pure functions, and
//     export default widget(ui => [ui.plot(...), ui.slider(...), ui.reset("sigma")]);
// State lives in the model alone: controls write to it, and every change of it draws everything anew, once a frame.

import { clamp, decimal } from "./numbers.js";
export * from "./numbers.js";

/** An element: h("button", { type: "button", onclick: f }, "text", child...); false and null attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export const table = (head, rows, foot = []) => h("table", { class: "sw-table" },
  h("thead", {}, h("tr", {}, ...head.map(words => h("th", { scope: "col" }, words)))),
  h("tbody", {}, ...rows), h("tfoot", {}, ...foot));
export const row = (head, cells) => h("tr", {}, h("th", { scope: "row" }, head), ...cells);
export const hint = words => h("p", { class: "sw-hint" }, words);
/** What a first look does not need, behind one line. */
export const more = (words, ...nodes) => h("details", { class: "sw-more" }, h("summary", {}, words), ...nodes);
/** What the lines of a plot are: [class of the colour, words] each. */
export const key = items => h("p", { class: "sw-hint sw-lines" }, ...items.map(([look, words]) =>
  h("span", {}, h("span", { class: `sw-swatch ${look}` }), words)));

/** Plain keys pressed in a control are the control's: not the page's next chapter, not the notebook's next cell. */
function ownKeys(node, signal) {
  node.addEventListener("keydown", e => { if (!e.ctrlKey && !e.metaKey) e.stopPropagation(); }, { signal });
  return node;
}

/** Calls `draw` whenever the page's theme changes: Sphinx's, JupyterLab's, VS Code's. */
export function onTheme(draw, signal) {
  const watch = new MutationObserver(draw);
  const what = { attributes: true, attributeFilter: ["class", "data-theme", "data-mode", "data-jp-theme-light"] };
  for (const node of [document.documentElement, document.body]) watch.observe(node, what);
  signal.addEventListener("abort", () => watch.disconnect());
}

const COLOURS = ["ink", "muted", "line", "paper", "surface", "blue", "orange", "green", "purple"];
/** The colours of shared.css as they are now, for a canvas to paint with. */
export function colours(node) {
  const style = getComputedStyle(node);
  return Object.fromEntries(COLOURS.map(name => [name, style.getPropertyValue("--sw-" + name).trim() || "#777"]));
}

/** Follows a pointer that went down on `node`: start(event) says whether to; move(dx, dy) has CSS pixels since then. */
function drag(node, { start, move, signal }) {
  let from = null;
  const end = () => { from = null; };
  node.addEventListener("pointerdown", e => {
    if (from || e.button !== 0 || !start(e)) return;
    from = [e.pointerId, e.clientX, e.clientY];
    node.setPointerCapture(e.pointerId);
    e.preventDefault();
  }, { signal });
  node.addEventListener("pointermove", e => {
    if (from?.[0] === e.pointerId) move(e.clientX - from[1], e.clientY - from[2]);
  }, { signal });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) node.addEventListener(name, end, { signal });
}

export const REACH = 20; // CSS pixels within which a press means a point
/** A canvas with coordinates: x = [left, right], y = [bottom, top] in the data's units, `pad` CSS pixels around.
    tall() gives { y, ticks, digits } anew at each drawing, where the height of what is shown changes. */
class Plot {
  constructor({ x, y, ratio = 1, pad = 8, label, axes, tall }, paint) {
    Object.assign(this, { xs: x, ys: y, paint, axes, ratio, tall });
    this.pad = axes ? { top: 30, right: 14, bottom: 48, left: 36 } : { top: pad, right: pad, bottom: pad, left: pad };
    this.canvas = h("canvas", { role: "img", "aria-label": label });
    this.node = h("div", { class: "sw-stage", style: `aspect-ratio: ${ratio}` }, this.canvas);
  }
  get scaleX() { return (this.width - this.pad.left - this.pad.right) / (this.xs[1] - this.xs[0]); }
  get scaleY() { return (this.height - this.pad.top - this.pad.bottom) / (this.ys[0] - this.ys[1]); }
  /** Data to CSS pixels, and back from an event. */
  at([x, y]) {
    return [this.pad.left + (x - this.xs[0]) * this.scaleX, this.pad.top + (y - this.ys[1]) * this.scaleY];
  }
  from(event) {
    const box = this.canvas.getBoundingClientRect();
    return [this.xs[0] + (event.clientX - box.left - this.pad.left) / this.scaleX,
      this.ys[1] + (event.clientY - box.top - this.pad.top) / this.scaleY];
  }
  /** How far apart two data points lie on the screen, in CSS pixels. */
  apart([x, y], [u, v]) { return Math.hypot((x - u) * this.scaleX, (y - v) * this.scaleY); }
  /** The index of the point that a press at `point` means, or null: no farther than a thumb is thick. */
  nearest(point, points) {
    const far = points.map(p => this.apart(p, point)), least = Math.min(...far);
    return least <= REACH ? far.indexOf(least) : null;
  }

  draw() {
    this.width = this.node.clientWidth || 360; // not laid out yet: any size will do
    this.height = this.width / this.ratio;
    const sharp = Math.max(1, globalThis.devicePixelRatio || 1), { canvas } = this;
    const size = [Math.round(this.width * sharp), Math.round(this.height * sharp)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const g = (this.g = canvas.getContext("2d"));
    g.setTransform(sharp, 0, 0, sharp, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    this.colour = colours(this.node);
    if (this.tall) {
      const { y, ...rest } = this.tall();
      this.ys = y;
      Object.assign(this.axes.y, rest);
    }
    if (this.axes) this.grid();
    this.paint(this);
  }
  grid() {
    const [x, y] = [this.axes.x, this.axes.y], { muted, line } = this.colour;
    for (const v of x.ticks) {
      if (x.grid !== false) this.line([[v, this.ys[0]], [v, this.ys[1]]], { colour: line, width: 1, alpha: 0.6 });
      this.text(x.names?.[v] ?? decimal(v, 0), [v, this.ys[0]], { dy: 13, align: "center", baseline: "top" });
    }
    for (const v of y.ticks) {
      this.line([[this.xs[0], v], [this.xs[1], v]], { colour: line, width: 1, alpha: 0.6 });
      this.text(y.names?.[v] ?? decimal(v, y.digits ?? 0), [this.xs[0], v], { dx: -7, align: "right", baseline: "middle" });
    }
    this.text(y.label, [this.xs[0], this.ys[1]], { dx: -this.pad.left + 2, dy: -14, colour: muted });
    this.text(x.label, [this.xs[1], this.ys[0]], { dy: 31, align: "right", baseline: "top", colour: muted });
  }
  line(points, { colour, width = 2, dash = [], fill, close = false, alpha = 1 } = {}) {
    const { g } = this;
    g.save();
    g.beginPath();
    for (const point of points) g.lineTo(...this.at(point));
    if (close) g.closePath();
    g.globalAlpha = alpha;
    if (fill) { g.fillStyle = fill; g.fill(); }
    if (colour) {
      Object.assign(g, { strokeStyle: colour, lineWidth: width, lineJoin: "round" }).setLineDash(dash);
      g.stroke();
    }
    g.restore();
  }
  /** Cuts what draw() draws at the edges of the coordinates. */
  within(draw) {
    const { g, pad } = this;
    g.save();
    g.beginPath();
    g.rect(pad.left, pad.top, this.width - pad.left - pad.right, this.height - pad.top - pad.bottom);
    g.clip();
    draw();
    g.restore();
  }
  dots(points, { colour, radius = 2.5, edge }) {
    const { g } = this;
    for (const point of points) {
      g.beginPath();
      g.arc(...this.at(point), radius, 0, 2 * Math.PI);
      Object.assign(g, { fillStyle: colour, strokeStyle: edge ?? colour, lineWidth: 1 });
      g.fill();
      if (edge) g.stroke();
    }
  }
  /** An arrow; one too short for its head is a line. */
  arrow(from, to, { colour, width = 2, head = 7, alpha = 1 }) {
    const { g } = this, [x, y] = this.at(from), [u, v] = this.at(to), size = Math.hypot(u - x, v - y);
    if (size < 0.5) return;
    const [c, s] = [(u - x) / size, (v - y) / size], long = Math.min(head, size), wide = 0.45 * long;
    Object.assign(g, { globalAlpha: alpha, strokeStyle: colour, fillStyle: colour, lineWidth: width }).setLineDash([]);
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(u - 0.7 * long * c, v - 0.7 * long * s);
    g.stroke();
    g.beginPath();
    for (const [a, b] of [[0, 0], [-long, wide], [-long, -wide]]) g.lineTo(u + a * c - b * s, v + a * s + b * c);
    g.fill();
    g.globalAlpha = 1;
  }
  /** Words beside a point: dx, dy CSS pixels from it. */
  text(words, point, { dx = 0, dy = 0, colour = this.colour.muted, align = "left", baseline = "alphabetic",
    weight = 400 }) {
    const [x, y] = this.at(point), font = `${weight} 12px ${getComputedStyle(this.node).fontFamily}`;
    Object.assign(this.g, { font, fillStyle: colour, textAlign: align, textBaseline: baseline });
    this.g.fillText(words, x + dx, y + dy);
  }
}

let groups = 0; // radio buttons of one view share a name that no other view has

class Ui {
  constructor(model, signal) {
    Object.assign(this, { model, signal, updates: [], plots: [], age: 0 });
    const frame = () => { this.frame = null; if (!signal.aborted) this.update(); };
    this.refresh = () => { this.frame ??= requestAnimationFrame(frame); };
    this.changed = () => { this.age++; this.refresh(); }; // call it where what changed is in no trait: a photograph
    model.on("change", this.changed);
    this.resized = new ResizeObserver(this.refresh);
    onTheme(this.refresh, signal);
    signal.addEventListener("abort", () => { model.off("change", this.changed); this.resized.disconnect(); });
  }
  get(name) { return this.model.get(name); }
  /** Changes of the state: { name: value }. A list must be a new list; the same one altered in place is no change. */
  set(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.model.save_changes();
    this.refresh();
  }
  update() {
    for (const plot of this.plots) plot.draw();
    for (const update of this.updates) update();
  }
  /** work(), done once for each change of the state, however often it is asked for. */
  memo(work) {
    let result, made = -1;
    return () => { if (made !== this.age) [result, made] = [work(), this.age]; return result; };
  }
  /** `update` runs now and after every change; returns `node`. */
  keep(node, update) { this.updates.push(update); return node; }

  /** See Plot; paint(plot) draws with plot.line, plot.dots, plot.text and plot.colour. */
  plot(options, paint) {
    const plot = new Plot(options, paint);
    this.plots.push(plot);
    this.resized.observe(plot.node);
    return plot;
  }

  /** A point of a plot that is moved: by dragging, or by the arrow keys once it has the focus (Shift: `coarse` steps).
      at() and to([x, y]) are in data units; `step` is an arrow key's, and 0 keeps an axis still. `now`, within `bounds`,
      and `text` say its value. `keys` are further keys: { Home: f }. Where one handle serves many points,
      near(point, plot) names the one that a press there means, or null, and select(it) makes it the handle's. */
  handle(plot, { label, at, to, step, coarse = 5, now = () => at()[0], bounds = plot.xs, text, keys = {}, near, select,
    look = "ring" }) {
    const { signal } = this, up = Math.sign(plot.ys[1] - plot.ys[0]), more = step[1] === 0 ? [1, 0] : [0, up];
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: more, ArrowDown: more.map(v => -v) };
    // A slider to assistive technology: it hands the arrow keys through and reads each new value by itself.
    const button = h("button", { type: "button", role: "slider", class: `sw-handle sw-${look}` });
    button.addEventListener("keydown", e => {
      const arrow = arrows[e.key];
      if (!keys[e.key] && !arrow || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      e.stopPropagation(); // not the page's own arrow keys: the next chapter, the next cell
      const [x, y] = at(), by = e.shiftKey ? coarse : 1;
      if (keys[e.key]) keys[e.key]();
      else to([x + by * step[0] * arrow[0], y + by * step[1] * arrow[1]]);
    }, { signal });
    let origin; // moves are counted from where the press was, so that nothing jumps under a thick finger
    const start = () => { origin = at(); button.focus({ preventScroll: true }); return true; };
    const move = (dx, dy) => to([origin[0] + dx / plot.scaleX, origin[1] + dy / plot.scaleY]);
    drag(button, { start, move, signal });
    if (near) this.pick(plot, near, chosen => { select(chosen); return start(); }, move);
    plot.node.append(button);
    return this.keep(button, () => {
      const [x, y] = plot.at(at());
      Object.assign(button.style, { left: `${x}px`, top: `${y}px` });
      const [valuemin, valuemax] = bounds, valuenow = clamp(now(), valuemin, valuemax);
      const aria = { label: label(), valuetext: text(), valuemin, valuemax, valuenow };
      for (const [name, value] of Object.entries(aria)) button.setAttribute("aria-" + name, value);
    });
  }
  pick(plot, near, start, move) {
    const { canvas } = plot, { signal } = this, meant = e => near(plot.from(e), plot);
    drag(canvas, { start: e => { const found = meant(e); return found != null && start(found); }, move, signal });
    // A finger on a point drags it; anywhere else on the picture it scrolls the page.
    canvas.addEventListener("touchstart", e => {
      if (e.touches.length === 1 && meant(e.touches[0]) != null) e.preventDefault();
    }, { passive: false, signal });
    canvas.addEventListener("pointermove", e => {
      if (!e.buttons) canvas.style.cursor = meant(e) == null ? "" : "grab";
    }, { signal });
  }

  /** A labelled slider on the trait `name`; text(value) is what it says, with the unit. */
  slider({ name, label, min, max, step, text = v => decimal(v) }) {
    const input = h("input", { type: "range", min, max, step, "aria-label": label, autocomplete: "off" });
    const output = h("output", { "aria-live": "off" }); // the slider says it already
    input.addEventListener("input", () => this.set({ [name]: Number(input.value) }), { signal: this.signal });
    ownKeys(input, this.signal);
    const control = h("label", { class: "sw-control" }, h("span", {}, label), output, input);
    return this.keep(control, () => {
      const said = text(this.get(name));
      if (Number(input.value) !== this.get(name)) input.value = this.get(name);
      input.setAttribute("aria-valuetext", (output.textContent = said));
    });
  }
  /** A labelled list on the trait `name`, an index; groups: { heading: [[value, words], ...] }. */
  select({ name, label, groups }) {
    const list = h("select", { autocomplete: "off" }, ...Object.entries(groups).map(([heading, rows]) =>
      h("optgroup", { label: heading }, ...rows.map(([value, words]) => h("option", { value }, words)))));
    list.addEventListener("change", () => this.set({ [name]: Number(list.value) }), { signal: this.signal });
    ownKeys(list, this.signal);
    const control = h("label", { class: "sw-control sw-list" }, h("span", {}, label), list);
    return this.keep(control, () => { list.value = this.get(name); });
  }
  /** Radio buttons on the trait `name`: { value: label }, for the widget to place. */
  radios(name, options) {
    const group = `sw-${name}-${++groups}`, radio = (value, words) => {
      const input = h("input", { type: "radio", name: group, value, autocomplete: "off" });
      input.addEventListener("change", () => this.set({ [name]: value }), { signal: this.signal });
      const control = h("label", { class: "sw-radio" }, ownKeys(input, this.signal), h("span", {}, words));
      return this.keep(control, () => { input.checked = this.get(name) === value; });
    };
    return Object.fromEntries(Object.entries(options).map(([value, words]) => [value, radio(value, words)]));
  }
  /** The radio buttons side by side, under their heading. */
  choice({ name, label, options }) {
    return h("fieldset", { class: "sw-choice" }, h("legend", {}, label), ...Object.values(this.radios(name, options)));
  }
  button(words, press) {
    return h("button", { type: "button", class: "sw-button", onclick: () => { press(); this.refresh(); } }, words);
  }
  /** Lets the trait `name` run from 0 to 1, in so many seconds. A press in between stops it. */
  play({ name = "time", seconds = 2 } = {}) {
    let from = null;
    const frame = now => {
      if (from === null || this.signal.aborted) return;
      from ||= now;
      const t = Math.min((now - from) / (1000 * seconds), 1);
      this.set({ [name]: t });
      if (t < 1) requestAnimationFrame(frame);
      else stop();
    };
    const stop = () => { from = null; button.textContent = "Play"; };
    const button = this.button("Play", () => {
      if (from !== null) return stop();
      from = 0; // the first frame says when that was
      button.textContent = "Stop";
      requestAnimationFrame(frame);
    });
    return button;
  }
  /** Puts these traits back to what they were when the widget was shown. */
  reset(...names) {
    const start = names.map(name => [name, structuredClone(this.get(name))]);
    return this.button("Reset", () => this.set(structuredClone(Object.fromEntries(start))));
  }
  /** The question, its first line in sight, further ones to unfold. */
  caption() {
    const node = h("figcaption");
    let shown = null;
    return this.keep(node, () => {
      if (shown === this.get("question")) return;
      shown = this.get("question");
      const [first, ...rest] = shown.split("\n").filter(Boolean).map(line => h("p", {}, line));
      node.replaceChildren(...(first ? [first] : []), ...(rest.length ? [more("More to try", ...rest)] : []));
    });
  }
  /** For readers who do not see the picture: what it came to, said once things have been still for a second. */
  status(words) {
    const node = h("div", { role: "status", class: "sw-unseen" });
    let timer, age = this.age;
    return this.keep(node, () => {
      if (age === this.age) return; // no change of the state: the page was resized
      age = this.age;
      clearTimeout(timer);
      timer = setTimeout(() => { node.textContent = words(); }, 1000);
    });
  }
}

/** A Ui whose controls read and write get() and the changes write(value), what they make of the state, not a trait. */
export const part = (ui, get, write) =>
  Object.assign(Object.create(ui), { get, set: change => ui.set(write(Object.values(change)[0])) });

/** The anywidget that `build` describes: build(ui) returns its plots, controls and other nodes, top to bottom. Where a
    widget must wait for something, a picture that is decoded, prepare(model) does, and build(ui, prepared) has it. */
export function widget(build, prepare) {
  const show = (model, el, prepared) => {
    const stop = new AbortController(), ui = new Ui(model, stop.signal);
    try {
      const nodes = build(ui, prepared).map(part => part.node ?? part), caption = ui.caption();
      ui.update(); // an error in the drawing shows here, while the fallback picture is still there
      el.append(h("figure", { class: "sw" }, caption, ...nodes));
    } catch (error) {
      stop.abort();
      throw error;
    }
    return () => stop.abort();
  };
  return { render: ({ model, el }) =>
    (prepare ? prepare(model).then(prepared => show(model, el, prepared)) : show(model, el)) };
}
