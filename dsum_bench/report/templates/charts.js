"use strict";
(() => {
// Charts: the specifications come with the page (charts.py); here they get rows, words and colours.

const drawn = new Map(); // element -> finalize
const turn = new Map(); // element -> its latest call

const filled = (value, titles, theme) => {
  if (Array.isArray(value)) return value.map((item) => filled(item, titles, theme));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, titles, theme)]));
  }
  if (typeof value !== "string") return value;
  if (value.startsWith("t:")) return titles[value.slice(2)] ?? dsum.say(value.slice(2));
  return value.startsWith("c:") ? theme[value.slice(2)] : value;
};

dsum.chart = async (place, name, rows, titles = {}, label = "") => {
  const mine = {};
  turn.set(place, mine);
  drawn.get(place)?.();
  drawn.delete(place);
  place.parentElement.querySelector(":scope > details.rows")?.remove();
  if (!rows.length) { place.replaceChildren(dsum.word("nothing")); return; }
  const theme = dsum.page.themes[dsum.dark() ? "dark" : "light"];
  const spec = filled(dsum.page.charts[name], titles, theme);
  spec.datasets = { rows };
  if (rows.every((row) => (row.control ?? null) === null)) spec.layer = spec.layer.filter((layer) => layer.name !== "control");
  // Vega-Lite warns of a step where the width is the container's, so the height is worked out here.
  if (spec.height.step) spec.height = spec.height.step * new Set(rows.map((row) => row.label ?? row.a)).size;
  spec.background = "transparent";
  const axis = { aria: false, labelColor: theme.muted, titleColor: theme.muted, gridColor: theme.line, domainColor: theme.line, tickColor: theme.line, labelFontSize: 12, titleFontSize: 12 };
  spec.config = { ...spec.config, axis, view: { stroke: null }, font: getComputedStyle(document.body).fontFamily,
    mark: { aria: false }, legend: { aria: false, labelColor: theme.text, titleColor: theme.muted, labelFontSize: 12, titleFontSize: 12 }, aria: false, text: { color: theme.text, fontSize: 12 } };
  place.replaceChildren();
  const result = await vegaEmbed(place, spec, { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: tip });
  if (turn.get(place) !== mine) { result.finalize(); return; } // a later call has drawn it afresh
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", label || dsum.say(`chart.${name}`));
  drawn.set(place, () => result.finalize());
  asTable(place, rows);
};

const tip = (_, event, __, value) => {
  let box = document.getElementById("tip");
  if (value === null || value === undefined || value === "") { box?.remove(); return; }
  if (!box) document.body.append(box = dsum.element("div", { id: "tip" }));
  box.replaceChildren(...Object.entries(value).map(([key, item]) => dsum.element("div", {}, dsum.element("b", {}, key), String(item))));
  const across = event.clientX + 14 + box.offsetWidth > innerWidth ? event.clientX - 14 - box.offsetWidth : event.clientX + 14;
  box.style.left = `${Math.max(4, across)}px`;
  box.style.top = `${Math.min(innerHeight - box.offsetHeight - 4, event.clientY + 14)}px`;
};

// The rows of a chart in words, for who cannot see it: made when it is opened.
const asTable = (place, rows) => {
  place.parentElement.querySelector(":scope > details.rows")?.remove();
  const details = dsum.element("details", { class: "rows" }, dsum.element("summary", { "data-t": "as.table" }, dsum.say("as.table")));
  details.addEventListener("toggle", () => {
    if (details.children.length > 1) return;
    const names = Object.keys(rows[0]).filter((name) => !/^(order|order_.|group_order)$/.test(name));
    const cell = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value ?? ""));
    details.append(dsum.element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": dsum.say("as.table") },
      dsum.element("table", { class: "data" },
        dsum.element("thead", {}, dsum.element("tr", {}, ...names.map((name) => dsum.element("th", { scope: "col" }, name)))),
        dsum.element("tbody", {}, ...rows.slice(0, 1000).map((row) => dsum.element("tr", {}, ...names.map((name) => dsum.element("td", {}, cell(row[name])))))))));
  });
  place.parentElement.append(details);
};

// -- which rows a chart of the chosen board has -----------------------------------------------------------------

const ROWS = {
  forest: (board) => {
    const control = board.runs.find((run) => run.id === board.control);
    return board.runs.filter((run) => run.mean !== null && run.mean !== undefined)
      .map(({ label, mean, low, high, kind }) => ({ label, mean, low: low ?? mean, high: high ?? mean, kind, control: control?.mean ?? null }));
  },
  tradeoff: (board) => {
    const cost = document.getElementById("cost").value;
    return board.runs.filter((run) => run.kind === "model" && run.costs[cost])
      .map((run) => ({ label: run.label, x: run.costs[cost], mean: run.mean, low: run.low ?? run.mean, high: run.high ?? run.mean, kind: run.kind, front: run.front.includes(cost) }));
  },
  distribution: (board) => {
    const value = document.getElementById("value").value;
    const found = new Map(board.spreads.filter((spread) => spread.value === value).map((spread) => [spread.run, spread]));
    return board.runs.filter((run) => found.has(run.id)).map((run) => {
      const { run: _, value: __, ...quantiles } = found.get(run.id);
      return { label: run.label, kind: run.kind, ...quantiles };
    });
  },
  matrix: (board) => {
    const order = new Map(board.runs.map((run, i) => [run.id, i]));
    const name = (id) => board.runs[order.get(id)].label;
    return board.matrix.flatMap(({ a, b, difference, p, apart }) => [
      { a: name(a), b: name(b), difference, p, apart, order_a: order.get(a), order_b: order.get(b) },
      { a: name(b), b: name(a), difference: -difference, p, apart, order_a: order.get(b), order_b: order.get(a) },
    ]);
  },
  topics: (board) => grouped(board, board.topics),
  lengths: (board) => grouped(board, board.lengths),
};
const SPEC = { topics: "heat" };

const grouped = (board, means) => {
  const order = new Map(board.runs.map((run, i) => [run.id, i]));
  const groups = [...new Set(means.map((mean) => mean.group))];
  return means.map(({ run_id, group, n, mean }) => ({
    label: board.runs[order.get(run_id)].label, group: dsum.visible(group), n, mean,
    order: order.get(run_id), group_order: groups.indexOf(group),
  }));
};

dsum.setUpCharts = () => {
  // A chart that is not seen takes no width: when the window changes, what is drawn later is drawn afresh.
  let width = innerWidth;
  let waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => dsum.redrawAll(), 200);
  });
  for (const id of ["cost", "value"]) document.getElementById(id).addEventListener("change", () => dsum.redrawAll());
};

const options = (select, names, key) => {
  const before = select.value;
  select.replaceChildren(...names.map((name) => {
    const word = `${key}.${name}`;
    return dsum.element("option", { value: name, "data-t": dsum.page.words[word] ? word : null }, dsum.page.words[word] ? dsum.say(word) : name);
  }));
  select.value = names.includes(before) ? before : names[0] ?? "";
};

// Draw what can be seen and is not drawn yet; redrawAll does it afresh.
let state = new Map();
dsum.redrawAll = () => { state = new Map(); dsum.draw(); };
dsum.draw = () => {
  if (dsum.tab === "training") { curves(); return; }
  const board = dsum.page.boards[dsum.board];
  if (!board) return;
  if (dsum.tab === "charts") {
    options(document.getElementById("cost"), ["seconds", "memory", "params", "money"].filter((cost) => board.runs.some((run) => run.costs[cost])), "cost");
    options(document.getElementById("value"), [board.measure, ...board.measures.filter((m) => m !== board.measure), "characters", "new_tokens", "seconds"], "value");
  }
  for (const place of document.querySelectorAll(".chart[data-chart]")) {
    const section = place.closest("section");
    if (section.hidden || place.closest("[hidden]") || state.get(place) === dsum.board) continue;
    state.set(place, dsum.board);
    const name = place.dataset.chart;
    const titles = { "axis.score": board.measure };
    if (name === "tradeoff") titles["axis.cost"] = dsum.say(`cost.${document.getElementById("cost").value}`);
    if (name === "distribution") {
      const select = document.getElementById("value");
      titles["axis.value"] = select.selectedOptions[0]?.textContent ?? "";
    }
    const rows = ROWS[name](board);
    const figure = place.closest("figure.card");
    if (figure) figure.hidden = !rows.length;
    if (!rows.length) continue;
    const label = name === "forest" ? dsum.say("forest") : dsum.say(`chart.${name}`);
    dsum.chart(place, SPEC[name] ?? name, rows, titles, label);
  }
};

const curves = () => {
  const place = document.getElementById("curves");
  if (!place || state.get(place)) return;
  state.set(place, true);
  const measures = [...new Set(dsum.page.trainings.flatMap((training) => Object.keys(training.curve)))];
  const figures = measures.map((measure) => {
    const key = `measure.${measure}`;
    const figure = dsum.element("figure", {}, dsum.element("h3", {}, dsum.page.words[key] ? dsum.word(key) : measure), dsum.element("div", { class: "chart" }));
    figure.dataset.measure = measure;
    return figure;
  });
  place.replaceChildren(...figures);
  for (const figure of figures) {
    const rows = dsum.page.trainings.flatMap((training) =>
      (training.curve[figure.dataset.measure] ?? []).map(([step, value]) => ({ label: training.id, step, value })));
    dsum.chart(figure.querySelector(".chart"), "curve", rows, {}, figure.querySelector("h3").textContent);
  }
};
})();
