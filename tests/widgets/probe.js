// Shows its model to the tests.
import {
  decimal,
} from "../../lddmmlib/widgets/shared.js";
// import "./not-there.js" in a comment is no import

export const shown = x => decimal(x, 2);
export const loads = (globalThis.probeLoads = (globalThis.probeLoads ?? 0) + 1);

export default () => ({
  initialize({ model }) {
    if (model.get("trouble") === "initialize") throw new Error("provoked");
  },
  async render({ model, el }) {
    if (model.get("trouble") === "render") throw new Error("provoked");
    (globalThis.probes ??= []).push(model);
    el.append(Object.assign(document.createElement("output"), { textContent: model.get("question") }));
  },
});
