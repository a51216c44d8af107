"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Blue, white, orange: told apart with any colour vision.
function colour(share) {
  const end = share < 0 ? [33, 102, 172] : [230, 97, 1];
  const t = Math.min(1, Math.abs(share));
  return end.map((c) => Math.round(255 + (c - 255) * t));
}
const LINES = ["#0072b2", "#e66101", "#009e73", "#cc79a7", "#56b4e9", "#999933"];

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function numbers(text) {
  const raw = atob(text);
  const bytes = Uint8Array.from(raw, (c) => c.charCodeAt(0));
  return new Int8Array(bytes.buffer);
}

// A map is decoded once; its magnitudes are counted, so that the limit of the
// top p % is found without sorting.
const decoded = new Map();
function decode(map) {
  if (!decoded.has(map)) {
    const values = numbers(map.values);
    const counts = new Uint32Array(128);
    for (const v of values) counts[Math.abs(v)]++;
    decoded.set(map, { values, counts });
  }
  return decoded.get(map);
}

// What the darkest colour of a map stands for.
function scaleOf(sample, method, map) {
  if (byId("own").checked) return map.scale;
  return Math.max(...data.models.map((model) => sample.maps[model][method].scale));
}

// The values that are shown, in [-127, 127]; zero below the top p %.
function shown(map, top, scale) {
  const { values, counts } = decode(map);
  const share = scale > 0 ? map.scale / scale : 1;
  if (top >= 100 && share === 1) return values;
  let limit = 0;
  if (top < 100) {
    const wanted = Math.max(1, Math.ceil((top / 100) * values.length));
    limit = 127;
    for (let seen = counts[127]; seen < wanted && limit > 1; ) seen += counts[--limit];
  }
  return values.map((v) => (Math.abs(v) >= limit ? Math.round(v * share) : 0));
}

const PALETTE = Array.from({ length: 255 }, (_, i) => colour((i - 127) / 127));

// Paints pixel by pixel; `pixel(i, out, at)` writes three bytes.
function paint(canvas, width, height, pixel) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    pixel(i, image.data, 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function put(out, at, rgb) {
  out[at] = rgb[0];
  out[at + 1] = rgb[1];
  out[at + 2] = rgb[2];
}

function value(id, fallback) {
  const control = byId(id);
  return control ? Number(control.value) : fallback;
}

// Each fills a card; what it adds to `changes` is done again as sliders move.
const draw = {
  images(sample, card, changes) {
    const [height, width] = data.shape;
    const input = numbers(sample.input);
    const channels = input.length / (height * width);
    const bytes = new Uint8Array(3 * height * width);
    for (let i = 0; i < bytes.length; i++)
      bytes[i] = input[channels > 1 ? i : Math.floor(i / 3)] + 128;
    const original = make("canvas", { role: "img", "aria-label": "input" });
    paint(original, width, height, (i, out, at) => put(out, at, bytes.subarray(3 * i)));
    const truth = sample.truth && outline(numbers(sample.truth), width, height);
    const caption = truth ? "input, the truth outlined" : "input";
    card.append(make("figure", { class: "input" }, framed(original, truth), make("figcaption", { text: caption })));
    eachMap(sample, card, changes, (cell, map, name, scale) => {
      const relevance = make("canvas", { role: "img", "aria-label": `map of ${name}` });
      const overlay = make("canvas", { role: "img", "aria-label": `overlay of ${name}` });
      const button = make("button", { type: "button", class: "enlarge", title: "enlarge" });
      button.append(
        make("span", {}, framed(relevance), make("span", { text: "map" })),
        make("span", {}, framed(overlay, truth), make("span", { text: "overlay" })),
      );
      button.addEventListener("click", () => enlarge(name, [original, relevance, overlay], truth));
      cell.append(button);
      changes.push(() => {
        const found = shown(map, value("top", 100), scale());
        const opacity = value("opacity", 70) / 100;
        paint(relevance, width, height, (i, out, at) => put(out, at, PALETTE[found[i] + 127]));
        paint(overlay, width, height, (i, out, at) => {
          const weight = (opacity * Math.abs(found[i])) / 127;
          const tint = PALETTE[127 * Math.sign(found[i]) + 127];
          for (let c = 0; c < 3; c++)
            out[at + c] = bytes[3 * i + c] * (1 - weight) + tint[c] * weight;
        });
      });
    });
  },

  series(sample, card, changes) {
    const [steps, features] = data.shape;
    const signals = numbers(sample.input);
    const truth = sample.truth && numbers(sample.truth);
    const zoom = [Math.max(1, Math.ceil(320 / steps)), Math.max(1, Math.ceil(160 / features))];
    eachMap(sample, card, changes, (cell, map, name, scale) => {
      const above = make("canvas", { class: "signals", role: "img", "aria-label": "signals, a line for each feature" });
      lines(above, signals, steps, features);
      const canvas = make("canvas", { class: "map", role: "img", "aria-label": `map of ${name}: steps from left to right, a row for each feature` });
      const middle = make("span", { text: "step" });
      cell.append(make(
        "div", { class: "chart" },
        make("div", { class: "names" }, make("span", { text: "signals" })), above,
        names(), canvas,
        make("div", { class: "steps" }, make("span", { text: "0" }), middle, make("span", { text: data.steps - 1 })),
      ));
      changes.push(() => {
        const found = shown(map, value("top", 100), scale());
        const width = steps * zoom[0];
        paint(canvas, width, features * zoom[1], (i, out, at) => {
          const step = Math.floor((i % width) / zoom[0]);
          const feature = Math.floor(i / width / zoom[1]);
          put(out, at, PALETTE[found[step * features + feature] + 127]);
        });
        if (truth) box(canvas, truth, steps, features, zoom);
      });
    });
  },

  text(sample, card, changes) {
    eachMap(sample, card, changes, (cell, map, name, scale) => {
      const { values } = decode(map);
      const said = make("output", { class: "said" });
      const words = make("p", { class: "words", role: "group", "aria-label": "words; arrow keys go from one to the next" });
      sample.tokens.forEach((token, i) => {
        const number = ((values[i] / 127) * map.scale).toPrecision(3);
        const word = make("span", { text: token, title: number, tabindex: i ? -1 : 0 });
        if (sample.truth && sample.truth[i]) word.className = "human";
        words.append(word, " ");
      });
      if (sample.more) words.append(`… ${sample.more} more`);
      changes.push(() => {
        const found = shown(map, 100, scale());
        // Never so dark that black letters are hard to read.
        sample.tokens.forEach((_, i) => (words.children[i].style.backgroundColor = `rgb(${colour((0.75 * found[i]) / 127)})`));
      });
      tell(words, said);
      cell.querySelector("figcaption").append(" ", said);
      cell.append(words);
    });
  },

  table(sample, card, changes) {
    eachMap(sample, card, changes, (cell, map, name, scale) => {
      const rows = make("tbody");
      const head = make("tr", {}, ...["column", "value", "relevance", "against · for"].map((text) => make("th", { scope: "col", text })));
      cell.append(make("div", { class: "wide" }, make("table", { class: "bars" }, make("thead", {}, head), rows)));
      if (sample.more) cell.append(make("p", { class: "note", text: `${sample.more} more columns, less relevant` }));
      changes.push(() => rows.replaceChildren(...Array.from(shown(map, value("top", 100), scale()), (v, i) => {
        const share = v / 127;
        const bar = make("span", { class: "bar" });
        bar.style.backgroundColor = `rgb(${colour(Math.sign(share))})`;
        bar.style.width = `${50 * Math.abs(share)}%`;
        bar.style.left = share < 0 ? `${50 - 50 * Math.abs(share)}%` : "50%";
        return make(
          "tr", {},
          make("td", { text: sample.names[i] }),
          make("td", { text: sample.values[i] }),
          make("td", { text: v ? (share * scale()).toPrecision(2) : "" }),
          make("td", {}, bar),
        );
      })));
    });
  },
};

// The number of the word that is pointed at, touched, or focused.
function tell(words, said) {
  const say = (event) => {
    if (event.target.title) said.textContent = `${event.target.textContent}: ${event.target.title}`;
  };
  words.addEventListener("pointerover", say);
  words.addEventListener("focusin", say);
  words.addEventListener("click", (event) => event.target.title && go(event.target));
  const go = (word) => {
    words.querySelector("[tabindex='0']")?.setAttribute("tabindex", -1);
    word.setAttribute("tabindex", 0);
    word.focus();
  };
  words.addEventListener("keydown", (event) => {
    const near = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    const next = near && event.target[near];
    if (!next) return;
    event.preventDefault();
    go(next);
  });
}

// The border of what is true, as one path.
function outline(truth, width, height) {
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && truth[y * width + x];
  let path = "";
  for (let y = 0; y <= height; y++)
    for (let x = 0; x <= width; x++) {
      if (!at(x, y) !== !at(x, y - 1)) path += `M${x} ${y}h1`;
      if (!at(x, y) !== !at(x - 1, y)) path += `M${x} ${y}v1`;
    }
  return { path, box: `0 0 ${width} ${height}` };
}

// A picture, with the truth drawn over it.
function framed(canvas, truth) {
  const frame = make("span", { class: "frame" }, canvas);
  if (truth) {
    const lines = svg("svg", { viewBox: truth.box, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const kind of ["under", "over"]) lines.append(svg("path", { d: truth.path, class: kind }));
    frame.append(lines);
  }
  return frame;
}

// Copies of pictures, as large as the window allows.
function enlarge(name, canvases, truth) {
  const copies = canvases.map((canvas, i) => {
    const copy = make("canvas", { role: "img", "aria-label": canvas.getAttribute("aria-label") });
    [copy.width, copy.height] = [canvas.width, canvas.height];
    copy.getContext("2d").drawImage(canvas, 0, 0);
    return make("figure", {}, framed(copy, i === 1 ? null : truth), make("figcaption", { text: ["input", "map", "overlay"][i] }));
  });
  byId("large").lastElementChild.replaceChildren(make("h3", { text: name }), ...copies);
  byId("large").showModal();
}

function names() {
  const all = data.featureNames;
  const few = all.length <= 14 ? all : [all[0], `${all.length} rows`, all[all.length - 1]];
  return make("div", { class: "names" }, ...few.map((text) => make("span", { text, title: text })));
}

// A row for each method, a column for each model.
function eachMap(sample, card, changes, use) {
  const grid = make("div", { class: `views ${data.domain}` });
  for (const method of data.methods) {
    const note = data.signed[method] ? "" : " magnitudes only, neither for nor against";
    grid.append(make("h4", { text: method, "data-method": method }, make("span", { text: note })));
    for (const model of data.models) {
      const map = sample.maps[model][method];
      const least = data.signed[method] ? "±" : "0 to ";
      const said = make("span");
      const cell = make("figure", { "data-method": method, "data-model": model }, make("figcaption", {}, `${model} · scale `, said));
      const scale = () => scaleOf(sample, method, map);
      changes.push(() => (said.textContent = `${least}${scale().toPrecision(2)}`));
      use(cell, map, `${model}, ${method}`, scale);
      grid.append(cell);
    }
  }
  card.append(grid);
}

function lines(canvas, input, steps, features) {
  canvas.width = 640;
  canvas.height = 128;
  const context = canvas.getContext("2d");
  for (let f = 0; f < features; f++) {
    context.strokeStyle = LINES[f % LINES.length];
    context.globalAlpha = features > 6 ? 0.5 : 1;
    context.beginPath();
    for (let t = 0; t < steps; t++) {
      // In the middle of the step's column in the map below.
      const y = 64 - input[t * features + f] / 2.1;
      context.lineTo(((t + 0.5) / steps) * 640, y);
    }
    context.stroke();
  }
}

function box(canvas, truth, steps, features, zoom) {
  const inside = [...truth.keys()].filter((i) => truth[i]);
  if (!inside.length) return;
  const at = inside.map((i) => [Math.floor(i / features), i % features]);
  const [t0, f0] = [0, 1].map((a) => Math.min(...at.map((p) => p[a])));
  const [t1, f1] = [0, 1].map((a) => Math.max(...at.map((p) => p[a])) + 1);
  const context = canvas.getContext("2d");
  context.lineWidth = 2;
  context.strokeStyle = "#111";
  context.setLineDash([6, 4]);
  const [x, y] = zoom;
  context.strokeRect(t0 * x, f0 * y, (t1 - t0) * x, (f1 - f0) * y);
}

// Curves, as SVG.
function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const DASHES = ["", "6 3", "2 2", "8 2 2 2"];
function styled(line, i) {
  line.style.stroke = LINES[i % LINES.length];
  line.style.strokeDasharray = DASHES[i % DASHES.length];
  line.setAttribute("stroke-width", 2);
  return line;
}

function plot({ title, series, along, up, log }) {
  const [w, h, left, bottom] = [320, 200, 66, 28];
  const ys = series.flatMap((s) => s.y);
  // Logarithms go from a power of ten to a power of ten.
  const low = log ? Math.floor(Math.min(...ys)) : Math.min(0, ...ys);
  const high = log ? Math.max(Math.ceil(Math.max(...ys)), low + 1) : Math.max(...ys, low + 1e-6);
  const x = (v) => left + v * (w - left - 8);
  const y = (v) => h - bottom - ((v - low) / (high - low)) * (h - bottom - 10);
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": title });
  picture.append(svg("path", { class: "axis", d: `M${left} 8V${h - bottom}H${w - 6}` }));
  const label = (px, py, text, anchor) => {
    const node = svg("text", { x: px, y: py, "text-anchor": anchor });
    node.textContent = text;
    picture.append(node);
  };
  const ticks = log ? Array.from({ length: high - low + 1 }, (_, k) => low + k) : [low, high];
  for (const v of ticks)
    label(left - 4, Math.max(16, y(v) + 2), log ? `${Number((100 * 10 ** v).toPrecision(1))} %` : v.toPrecision(2), "end");
  for (const [v, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]])
    label(x(v), h - bottom + 14, `${100 * v} %`, anchor);
  label((w + left) / 2, h - 2, along, "middle");
  const upright = svg("text", { transform: `translate(11 ${(h - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" });
  upright.textContent = up;
  picture.append(upright);
  const legend = make("ul", { class: "legend" });
  series.forEach((s, i) => {
    const line = svg("polyline", { fill: "none", points: s.y.map((v, k) => `${x(s.x[k])},${y(v)}`).join(" ") });
    picture.append(styled(line, i));
    const swatch = svg("svg", { viewBox: "0 0 28 6", "aria-hidden": "true" });
    swatch.append(styled(svg("path", { d: "M0 3H28" }), i));
    legend.append(make("li", {}, swatch, s.name));
  });
  return make("figure", { class: "plot" }, make("figcaption", { text: title }), picture, legend);
}

function plots() {
  const method = byId("curve-method").value;
  byId("plots").replaceChildren(
    ...data.curves
      .filter((c) => c.method === method)
      .map(plot),
  );
}

// The gallery: cards are filled and painted when they come into view.
const says = {
  classification: (s, m) => `${data.classNames[s.predicted[m]]} (${Math.round(100 * s.probability[m])}\u00a0%)`,
  "multi-label": (s, m) => s.said[m],
  regression: (s, m) => s.said[m],
}[data.task];
const truthOf = (s) => (data.task === "classification" ? `class ${data.classNames[s.label]}` : `true ${s.true}`);
function isRight(sample, model) {
  if (data.task === "regression") return true;
  return data.task === "classification" ? sample.predicted[model] === sample.label : sample.right[model];
}
const cards = data.samples.map((sample) => {
  const title = make("h3", { text: `Sample ${sample.index}, ${truthOf(sample)}. ` });
  data.models.forEach((m, i) => {
    const right = isRight(sample, m);
    title.append(make("span", { class: right ? "" : "wrong", text: `${m}: ${says(sample, m)}` }), i + 1 < data.models.length ? " · " : "");
  });
  const node = make("section", { class: "sample", "data-index": sample.index }, title);
  return { sample, node, changes: null, stale: true, visible: false };
});
const byNode = new Map(cards.map((card) => [card.node, card]));

function show(card) {
  if (!card.changes) {
    card.changes = [];
    draw[data.domain](card.sample, card.node, card.changes);
    choose(card);
  }
  if (card.stale) card.changes.forEach((change) => change());
  card.stale = false;
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = byNode.get(entry.target);
    card.visible = entry.isIntersecting;
    if (card.visible) show(card);
  }
}, { rootMargin: "300px" });
cards.forEach((card) => watcher.observe(card.node));
window.addEventListener("beforeprint", () => cards.forEach(show));

let due = false;
function repaint() {
  for (const id of ["opacity", "top"])
    if (byId(id)) document.querySelector(`output[for=${id}]`).textContent = `${byId(id).value} %`;
  for (const card of cards) card.stale = true;
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const card of cards) if (card.visible) show(card);
  });
}

// Hides what is not chosen of models and methods.
function chosen(kind) {
  return new Set(data[kind].filter((_, i) => byId(`${kind}-${i}`).checked));
}

function choose(card) {
  const [models, methods] = [chosen("models"), chosen("methods")];
  for (const cell of card.node.querySelectorAll("[data-method]")) {
    const { model, method } = cell.dataset;
    cell.hidden = !methods.has(method) || (model !== undefined && !models.has(model));
  }
  card.node.style.setProperty("--models", Math.max(1, models.size));
}

for (const kind of ["models", "methods"]) {
  data[kind].forEach((name, i) => {
    const control = make("input", { type: "checkbox", id: `${kind}-${i}` });
    // Random maps say nothing: they are folded away where there are others.
    control.checked = kind === "models" || name !== "random" || data.methods.length === 1;
    control.addEventListener("change", () => cards.forEach((card) => card.changes && choose(card)));
    byId(kind).append(make("label", {}, control, control.checked ? name : `${name} (a control)`));
  });
}

function options(id, entries) {
  byId(id)?.append(...entries.map(([v, text]) => make("option", { value: v, text })));
}
options("curve-method", data.methods.map((m) => [m, m]));
options("class", [["", "all"], ...data.classNames.map((n, i) => [i, n])]);
options("correct", [["", "all"], ...data.models.flatMap((m, i) => [[`${i} right`, `right by ${m}`], [`${i} wrong`, `wrong by ${m}`]])]);
options("sort", [["", "position"], ...data.sorts.map((s, i) => [i, s.title])]);
options("sort-of", Object.keys(data.sorts[0]?.of ?? {}).map((of) => [of, of]));

function arrange() {
  const label = byId("class")?.value ?? "";
  const [model, wanted] = (byId("correct")?.value ?? "").split(" ");
  const sort = byId("sort").value;
  byId("order").disabled = byId("sort-of").disabled = sort === "";
  const kept = cards.map((card, i) => [card, i]).filter(([{ sample }]) => {
    const right = wanted && isRight(sample, data.models[model]);
    return (label === "" || sample.label === Number(label)) && (!wanted || right === (wanted === "right"));
  });
  if (sort !== "") {
    const values = data.sorts[sort].of[byId("sort-of").value];
    const sign = Number(byId("order").value);
    // Samples that a measure left out come last.
    const of = ([, i]) => (values[i] === null ? Infinity : sign * values[i]);
    kept.sort((a, b) => of(a) - of(b) || 0);
  }
  byId("gallery").replaceChildren(...kept.map(([card]) => card.node));
  byId("count").textContent = `${kept.length} of ${cards.length} samples`;
}

paint(byId("scale"), 201, 12, (i, out, at) => put(out, at, colour(((i % 201) - 100) / 100)));
byId("curve-method").addEventListener("change", plots);
for (const id of ["class", "correct", "sort", "sort-of", "order"]) byId(id)?.addEventListener("change", arrange);
byId("own").addEventListener("change", repaint);
for (const id of ["opacity", "top"]) byId(id)?.addEventListener("input", repaint);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
plots();
arrange();
repaint();
