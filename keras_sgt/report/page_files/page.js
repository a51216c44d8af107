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

// The shares of a map's largest magnitude, in [-1, 1]; zero below the top.
function shares(map, top) {
  const values = Array.from(numbers(map.values), (v) => v / 127);
  if (top >= 100) return values;
  const sorted = values.map(Math.abs).sort((a, b) => b - a);
  const limit = sorted[Math.max(0, Math.ceil((top / 100) * sorted.length) - 1)];
  return values.map((v) => (Math.abs(v) >= limit && v !== 0 ? v : 0));
}

function paint(canvas, width, height, pixel) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data.set([...pixel(i), 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

function value(id, fallback) {
  const control = byId(id);
  return control ? Number(control.value) : fallback;
}

const draw = {
  images(sample) {
    const [height, width] = data.shape;
    const input = numbers(sample.input);
    const channels = input.length / (height * width);
    const grey = (i) =>
      [0, 1, 2].map((c) => input[i * channels + (channels > 1 ? c : 0)] + 128);
    const views = make("div", { class: "views" });
    const original = make("canvas", { role: "img", "aria-label": "input" });
    paint(original, width, height, grey);
    views.append(make("figure", {}, original, make("figcaption", { text: "input" })));
    eachMap(sample, (model, method, map) => {
      const relevance = make("canvas", { role: "img", "aria-label": `map of ${model}` });
      const overlay = make("canvas", { role: "img", "aria-label": `overlay of ${model}` });
      views.append(make("figure", {}, relevance, overlay, caption(model, method, map)));
      changing.push(() => {
        const found = shares(map, value("top", 100));
        const opacity = value("opacity", 70) / 100;
        paint(relevance, width, height, (i) => colour(found[i]));
        paint(overlay, width, height, (i) => {
          const weight = opacity * Math.abs(found[i]);
          const tint = colour(Math.sign(found[i]));
          return grey(i).map((g, c) => g * (1 - weight) + tint[c] * weight);
        });
      });
    });
    return views;
  },

  series(sample) {
    const [steps, features] = data.shape;
    const views = make("div", { class: "views series" });
    const signal = make("canvas", { role: "img", "aria-label": "signals, a line for each feature" });
    lines(signal, numbers(sample.input), steps, features);
    views.append(make("figure", {}, signal, make("figcaption", { text: "signals over time" })));
    eachMap(sample, (model, method, map) => {
      const canvas = make("canvas", { role: "img", "aria-label": `map of ${model}` });
      views.append(make("figure", {}, canvas, caption(model, method, map)));
      changing.push(() => {
        const found = shares(map, value("top", 100));
        const zoom = Math.max(1, Math.ceil(300 / Math.max(steps, features)));
        paint(canvas, steps * zoom, features * zoom, (i) => {
          const step = Math.floor((i % (steps * zoom)) / zoom);
          const feature = Math.floor(i / (steps * zoom) / zoom);
          return colour(found[step * features + feature]);
        });
        if (sample.truth) box(canvas, numbers(sample.truth), steps, features, zoom);
      });
    });
    return views;
  },

  text(sample) {
    const views = make("div");
    eachMap(sample, (model, method, map) => {
      const found = shares(map, 100);
      const words = make("p", { class: "words" });
      sample.tokens.forEach((token, i) => {
        const word = make("span", { text: token, title: (found[i] * map.scale).toPrecision(3) });
        // Never so dark that black letters are hard to read.
        word.style.backgroundColor = `rgb(${colour(0.75 * found[i])})`;
        if (sample.truth && sample.truth[i]) word.className = "human";
        words.append(word, " ");
      });
      views.append(caption(model, method, map), words);
    });
    return views;
  },

  table(sample) {
    const views = make("div", { class: "views" });
    eachMap(sample, (model, method, map) => {
      const rows = make("table", { class: "bars" });
      views.append(make("figure", {}, caption(model, method, map), rows));
      changing.push(() => {
        const found = shares(map, value("top", 100));
        rows.replaceChildren(
          ...found.map((share, i) => {
            const bar = make("span", { class: "bar", title: (share * map.scale).toPrecision(3) });
            bar.style.backgroundColor = `rgb(${colour(Math.sign(share))})`;
            bar.style.width = `${50 * Math.abs(share)}%`;
            bar.style.left = share < 0 ? `${50 - 50 * Math.abs(share)}%` : "50%";
            return make(
              "tr", {},
              make("td", { text: data.featureNames[i] }),
              make("td", { text: sample.values[i] }),
              make("td", {}, bar),
            );
          }),
        );
      });
    });
    return views;
  },
};

function eachMap(sample, use) {
  for (const method of data.methods)
    for (const model of data.models) use(model, method, sample.maps[model][method]);
}

function caption(model, method, map) {
  return make("figcaption", { text: `${model} · ${method} · ±1 is ${map.scale.toPrecision(2)}` });
}

function lines(canvas, input, steps, features) {
  canvas.width = 400;
  canvas.height = 270;
  const context = canvas.getContext("2d");
  for (let f = 0; f < features; f++) {
    context.strokeStyle = LINES[f % LINES.length];
    context.globalAlpha = features > 6 ? 0.5 : 1;
    context.beginPath();
    for (let t = 0; t < steps; t++) {
      const y = 135 - input[t * features + f];
      context.lineTo((t / Math.max(1, steps - 1)) * 398 + 1, y);
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
  context.strokeRect(t0 * zoom, f0 * zoom, (t1 - t0) * zoom, (f1 - f0) * zoom);
}

// Curves, as SVG.
function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function plot(title, series, yTitle) {
  const [w, h, left, bottom] = [320, 200, 38, 28];
  const ys = series.flatMap((s) => s.y);
  const low = Math.min(0, ...ys), high = Math.max(...ys, low + 1e-6);
  const x = (v) => left + v * (w - left - 8);
  const y = (v) => h - bottom - ((v - low) / (high - low)) * (h - bottom - 10);
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": title });
  picture.append(svg("path", { class: "axis", d: `M${left} 8V${h - bottom}H${w - 6}` }));
  const label = (px, py, text, anchor) => {
    const node = svg("text", { x: px, y: py, "text-anchor": anchor });
    node.textContent = text;
    picture.append(node);
  };
  label(left - 4, y(high) + 8, high.toPrecision(2), "end");
  label(left - 4, y(low), low.toPrecision(2), "end");
  for (const [v, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]])
    label(x(v), h - bottom + 14, `${100 * v} %`, anchor);
  label((w + left) / 2, h - 2, yTitle, "middle");
  const legend = make("ul", { class: "legend" });
  series.forEach((s, i) => {
    const line = svg("polyline", { fill: "none", "stroke-width": 2, points: s.y.map((v, k) => `${x(s.x[k])},${y(v)}`).join(" ") });
    line.style.stroke = LINES[i % LINES.length];
    line.style.strokeDasharray = ["", "6 3", "2 2", "8 2 2 2"][i % 4];
    picture.append(line);
    const swatch = make("span");
    swatch.style.backgroundColor = LINES[i % LINES.length];
    legend.append(make("li", {}, swatch, s.name));
  });
  return make("figure", { class: "plot" }, make("figcaption", { text: title }), picture, legend);
}

function plots() {
  const method = byId("curve-method").value;
  byId("plots").replaceChildren(
    ...data.curves
      .filter((c) => c.method === method)
      .map((c) => plot(c.title, c.series, c.along)),
  );
}

// The gallery.
let changing = [];
const cards = data.samples.map((sample) => {
  const said = data.models.map((m) => `${m}: ${data.classNames[sample.predicted[m]]} (${Math.round(100 * sample.probability[m])} %)`);
  const title = make("h3", { text: `Sample ${sample.index}, class ${data.classNames[sample.label]}. ` });
  data.models.forEach((m, i) => {
    const right = sample.predicted[m] === sample.label;
    title.append(make("span", { class: right ? "" : "wrong", text: said[i] }), i + 1 < data.models.length ? " · " : "");
  });
  const card = make("section", { class: "sample", "data-index": sample.index }, title, draw[data.domain](sample));
  return { sample, card };
});

function options(id, entries) {
  byId(id).append(...entries.map(([v, text]) => make("option", { value: v, text })));
}
options("curve-method", data.methods.map((m) => [m, m]));
options("class", [["", "all"], ...data.classNames.map((n, i) => [i, n])]);
options("correct", [["", "all"], ...data.models.flatMap((m, i) => [[`${i} right`, `right by ${m}`], [`${i} wrong`, `wrong by ${m}`]])]);
options("sort", [["", "position"], ...data.sorts.map((s, i) => [i, s.title])]);

function arrange() {
  const label = byId("class").value;
  const [model, wanted] = byId("correct").value.split(" ");
  const sort = byId("sort").value;
  const kept = cards.filter(({ sample }) => {
    const right = wanted && sample.predicted[data.models[model]] === sample.label;
    return (label === "" || sample.label === Number(label)) && (!wanted || right === (wanted === "right"));
  });
  if (sort !== "") {
    const values = data.sorts[sort].values;
    const of = ({ sample }) => values[data.samples.indexOf(sample)] ?? -Infinity;
    kept.sort((a, b) => of(b) - of(a));
  }
  byId("gallery").replaceChildren(...kept.map((c) => c.card));
  byId("count").textContent = `${kept.length} of ${cards.length} samples`;
}

function repaint() {
  for (const id of ["opacity", "top"])
    if (byId(id)) document.querySelector(`output[for=${id}]`).textContent = `${byId(id).value} %`;
  changing.forEach((change) => change());
}

paint(byId("scale"), 201, 12, (i) => colour(((i % 201) - 100) / 100));
byId("curve-method").addEventListener("change", plots);
for (const id of ["class", "correct", "sort"]) byId(id).addEventListener("change", arrange);
for (const id of ["opacity", "top"]) byId(id)?.addEventListener("input", repaint);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
plots();
arrange();
repaint();
