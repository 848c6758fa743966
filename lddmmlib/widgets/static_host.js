// Stands in for Jupyter in a page without a kernel: every .sw-root on the page gets a model of its own, and the
// widget's ESM renders on it exactly as it would in JupyterLab. The picture stays where that fails.

const decode = text => new DataView(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const same = (a, b) => a === b || (!ArrayBuffer.isView(a) && JSON.stringify(a) === JSON.stringify(b));

/** anywidget's model, kept in the page: Backbone's rules for what counts as a change and which events follow it. */
function localModel(state) {
  let listeners = [];
  const fire = (event, ...args) => listeners.filter(l => l.event === event).forEach(l => l.callback(...args));
  const model = {
    get: name => state[name],
    set(name, value) {
      const given = typeof name === "string" ? { [name]: value } : name;
      const changed = Object.keys(given).filter(key => !same(state[key], given[key]));
      for (const key of changed) state[key] = given[key];
      for (const key of changed) fire("change:" + key, model, state[key], {});
      if (changed.length) fire("change", model, {});
    },
    on(events, callback) {
      listeners = listeners.concat(events.split(/\s+/).map(event => ({ event, callback })));
    },
    off(events, callback) {
      const named = events?.split(/\s+/);
      const goes = l => (!named || named.includes(l.event)) && (!callback || callback === l.callback);
      listeners = listeners.filter(l => !goes(l));
    },
    save_changes() {}, // nobody to tell
    send() {},
  };
  return model;
}

// One import per script and page, however many widgets share it. Blob and data URLs work over file:// too.
const modules = (globalThis.__staticWidgetModules ??= new Map());
function load(esm) {
  if (!modules.has(esm)) {
    modules.set(esm, import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" }))));
  }
  return modules.get(esm);
}

async function bringToLife(root) {
  const json = root.querySelector('script[type="application/json"]').textContent;
  const { esm, state, buffers } = JSON.parse(json);
  for (const [path, text] of buffers) {
    path.slice(0, -1).reduce((inner, key) => inner[key], state)[path.at(-1)] = decode(text);
  }
  const { default: found } = await load(esm);
  const widget = typeof found === "function" ? await found() : found;
  const model = localModel(state), el = document.createElement("div");
  const signal = new AbortController().signal; // never: the page's widgets live as long as the page
  await widget.initialize?.({ model, signal });
  await widget.render({ model, el, signal });
  root.querySelector(".sw-fallback").replaceWith(el);
}

for (const root of document.querySelectorAll(".sw-root:not([data-sw])")) {
  root.dataset.sw = "loading";
  bringToLife(root).then(
    () => { root.dataset.sw = "ready"; },
    error => { root.dataset.sw = "error"; console.error("lddmmlib widget:", error); },
  );
}
