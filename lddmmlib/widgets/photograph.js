// The reader's own photograph: dropped on the widget or chosen from disk, and a square around the face that is moved and
// resized by handles. It is read into the page's memory and nowhere else: no request is made, and no trait holds it.
import { clamp, decimal, h } from "./shared.js";

const LONGEST = 1024; // px: larger photographs are made smaller, which a crop of 64 px does not see

/** A picture file or bitmap as { width, height, data, canvas }: its pixels, and something to draw. Turned as its camera
    noted. Rejects what the browser cannot read. */
export async function readPicture(file, longest = LONGEST) {
  const picture = await createImageBitmap(file), k = Math.min(1, longest / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height].map(v => Math.max(1, Math.round(k * v)));
  const g = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(g, { fillStyle: "#fff", imageSmoothingQuality: "high" });
  g.fillRect(0, 0, canvas.width, canvas.height); // what is transparent is white
  g.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const { width, height } = canvas;
  return { width, height, data: g.getImageData(0, 0, width, height).data, canvas };
}
/** Where the square starts on a new photograph: its middle, six tenths of the shorter side. */
export function firstBox({ width, height }) {
  const side = 0.6 * Math.min(width, height);
  return [(width - 1 - side) / 2, (height - 1 - side) / 2, side, side];
}

/** A button that asks for a photograph, and `zone`, an element on which one can be dropped: use(picture) is called with
    it. { nodes: [button, what is said of it] }. */
export function photographs(ui, zone, use) {
  const { signal } = ui, said = h("p", { class: "sw-hint", "aria-live": "polite" });
  const input = h("input", { type: "file", accept: "image/*", class: "sw-unseen", tabindex: -1, "aria-hidden": "true" });
  const open = async file => {
    if (!file) return;
    try {
      use(await readPicture(file));
      said.textContent = "Your photograph stays on this page: nothing is sent.";
    } catch {
      said.textContent = "This browser cannot read that file as a picture. A JPEG, PNG or WebP will do.";
    }
  };
  input.addEventListener("change", () => { open(input.files[0]); input.value = ""; }, { signal });
  const over = on => e => {
    if (![...e.dataTransfer.types].includes("Files")) return;
    e.preventDefault(); // the browser would open the file in place of the page
    zone.classList.toggle("sw-over", on);
  };
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, over(true), { signal });
  zone.addEventListener("dragleave", over(false), { signal });
  zone.addEventListener("drop", e => { over(false)(e); open(e.dataTransfer.files[0]); }, { signal });
  const button = h("button", { type: "button", class: "sw-button", onclick: () => input.click() }, "Your own photograph…");
  return { nodes: [h("span", {}, button, input), said] };
}

/** The square on a plot whose coordinates are the picture's pixels: a handle that moves it, at its upper left corner, and
    one that resizes it, at the lower right. get() is the box [x, y, w, h]; set(box) takes a new one; size() is the
    picture's. A mouse may also drag the square by its inside, where a finger scrolls the page. */
export function placing(ui, plot, { get, set, size }) {
  const most = () => Math.max(...size()), px = v => `${decimal(v, 0)} px`, step = [1, 1];
  ui.keep(null, () => step.fill(Math.max(1, Math.round(0.01 * most())))); // of the arrow keys, for pictures of any size
  let finger = false;
  plot.canvas.addEventListener("pointerdown", e => { finger = e.pointerType === "touch"; }, { signal: ui.signal });
  const inside = ([u, v]) => { const [x, y, w] = get(); return u > x && u < x + w && v > y && v < y + w; };
  ui.handle(plot, {
    label: () => "square around the face, place", look: "knob", step,
    at: () => get().slice(0, 2),
    to: ([u, v]) => {
      const w = get()[2], [x, y] = [u, v].map((to, k) => clamp(to, -w / 2, size()[k] - w / 2));
      set([x, y, w, w]);
    },
    bounds: [-1000, 1000],
    text: () => `${px(get()[0])} from the left, ${px(get()[1])} from the top`,
    near: point => (!finger && inside(point) ? 0 : null),
    select: () => {},
  });
  ui.handle(plot, {
    label: () => "square around the face, size", look: "knob", step,
    at: () => [get()[0] + get()[2], get()[1] + get()[3]],
    to: ([u, v]) => {
      const [x, y] = get(), w = clamp((u - x + v - y) / 2, 0.08 * most(), 1.2 * most());
      set([x, y, w, w]);
    },
    now: () => get()[2], bounds: [0, 2000], text: () => `${px(get()[2])} a side`,
  });
}
