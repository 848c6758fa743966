// Runs a network for the tests: in Node, and on a page that has the network and a picture as its state.
import { input, square, fromCrop } from "../../lddmmlib/widgets/crops.js";
import { known, network, run } from "../../lddmmlib/widgets/network.js";

export const operations = known;
const bytes = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0));
/** What a network, its file in base64, makes of each of some inputs. */
export function ran(file, ...inputs) {
  const net = network(bytes(file));
  return inputs.map(data => run(net, data).map(({ shape, data: found }) => [shape, [...found]]));
}
/** The landmarks, px of the photograph, that it finds in a box. */
export function landmarks(file, photograph, box) {
  const net = network(file instanceof DataView ? file : bytes(file)), size = net.input[3], place = square(box);
  const [{ shape, data }] = run(net, input(photograph, place, size));
  return fromCrop(place, size, Array.from({ length: shape[1] }, (_, i) => [data[2 * i], data[2 * i + 1]]));
}

export default {
  async render({ model, el }) {
    const picture = await createImageBitmap(new Blob([model.get("photograph")], { type: "image/png" }));
    const canvas = new OffscreenCanvas(picture.width, picture.height), g = canvas.getContext("2d");
    g.drawImage(picture, 0, 0);
    const found = landmarks(model.get("network"), g.getImageData(0, 0, picture.width, picture.height), model.get("box"));
    el.append(Object.assign(document.createElement("output"), { textContent: JSON.stringify(found) }));
  },
};
