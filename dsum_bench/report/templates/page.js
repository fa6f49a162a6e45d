"use strict";
(() => {
// The page: data, words, theme, sections. Text from runs only ever becomes text nodes; Trusted Types below see to it
// that no script of this page, Vega's included, can turn a string into HTML.

if (window.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createHTML: (html) => { if (html) throw new TypeError("no HTML from strings"); return ""; },
  });
}

const dsum = (window.dsum = { page: null, language: "en", board: null });

// -- data: base64 of gzip ------------------------------------------------------------------------------------

dsum.unpack = async (key) => {
  const text = document.getElementById(`data-${key}`).textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
};
dsum.cache = {};
dsum.json = (key) => (dsum.cache[key] ??= dsum.unpack(key).then((response) => response.json()));

// Scores of a board: values(run, measure) is a Float64Array in the order of the samples, NaN where there is none.
dsum.scores = (key) => (dsum.cache[key] ??= dsum.unpack(key).then((r) => r.arrayBuffer()).then((buffer) => {
  const board = dsum.page.boards[key];
  const all = new Float64Array(buffer);
  const size = all.length / (board.runs.length * board.measures.length || 1);
  const places = new Map(board.runs.map((run, i) => [run.id, i]));
  return (run, measure) => {
    const start = (places.get(run) * board.measures.length + board.measures.indexOf(measure)) * size;
    return places.has(run) && board.measures.includes(measure) ? all.subarray(start, start + size) : null;
  };
}));

// -- elements and text ---------------------------------------------------------------------------------------

const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
dsum.visible = (text) => text.replace(UNSEEN, "\ufffd");

// element("p", {class: "x"}, child, "text", ...)
dsum.element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  for (const child of children) if (child !== null) made.append(typeof child === "string" ? dsum.visible(child) : child);
  return made;
};

// -- words ---------------------------------------------------------------------------------------------------

dsum.say = (key, ...values) =>
  (dsum.page.words[key]?.[dsum.language] ?? key).replace(/\{(\d)\}/g, (_, i) => values[i]);
dsum.word = (key, ...values) => {
  const made = dsum.element("span", { "data-t": key }, dsum.say(key, ...values));
  if (values.length) made.dataset.a = JSON.stringify(values);
  return made;
};

const translate = () => {
  document.documentElement.lang = dsum.language;
  document.title = dsum.say("title");
  for (const node of document.querySelectorAll("[data-t]")) {
    node.textContent = dsum.say(node.dataset.t, ...JSON.parse(node.dataset.a ?? "[]"));
  }
  for (const name of ["aria-label", "placeholder"]) {
    for (const node of document.querySelectorAll(`[data-t-${name}]`)) {
      node.setAttribute(name, dsum.say(node.getAttribute(`data-t-${name}`)));
    }
  }
};

// -- choices that outlive the visit, where the browser lets a file keep any ------------------------------------

const kept = (key) => { try { return localStorage.getItem(`dsum-${key}`); } catch { return null; } };
const keep = (key, value) => { try { localStorage.setItem(`dsum-${key}`, value); } catch { /* then not */ } };

const setTheme = (theme) => {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.dataset.t = `theme.${theme}`;
  button.textContent = dsum.say(button.dataset.t);
  dsum.theme = theme;
};
const dark = matchMedia("(prefers-color-scheme: dark)");
dsum.dark = () => dsum.theme === "dark" || (dsum.theme === "auto" && dark.matches);

// -- sections and addresses: #boards, #samples, ..., or #run/sample ---------------------------------------------

const tabs = [...document.querySelectorAll("[data-tab]")];
dsum.show = (name) => {
  for (const section of document.querySelectorAll("section.tab")) section.hidden = section.id !== `tab-${name}`;
  for (const tab of tabs) {
    if (tab.dataset.tab === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  dsum.tab = name;
  dsum.draw();
};

const route = () => {
  const address = location.hash.slice(1);
  const known = tabs.some((tab) => tab.dataset.tab === address);
  if (address.includes("/")) {
    const [run, sample] = address.split("/", 2).map(decodeURIComponent);
    dsum.show("samples");
    dsum.openSample(run, sample);
  } else if (known) {
    dsum.show(address);
    if (address === "samples") dsum.openSamples();
  } else if (!address || address === "content") {
    if (!dsum.tab) dsum.show(tabs[0].dataset.tab);
  }
};

dsum.choose = (key) => {
  if (!dsum.page.boards[key] || dsum.board === key) return;
  dsum.board = key;
  document.getElementById("board").value = key;
  for (const article of document.querySelectorAll("article.board")) article.hidden = article.id !== key;
  dsum.changed();
};
dsum.changed = () => {
  dsum.draw();
  if (dsum.tab === "samples") dsum.openSamples();
};

// What opens below a menu stays inside the window, whatever it holds.
const fit = (menu) => {
  const choices = menu.querySelector(".choices");
  const room = document.documentElement.clientWidth - 8 - menu.getBoundingClientRect().left;
  choices.style.marginLeft = `${Math.min(0, room - choices.offsetWidth)}px`;
};

addEventListener("DOMContentLoaded", async () => {
  dsum.page = await dsum.json("page");
  const asked = kept("language") ?? (navigator.language.startsWith("ko") ? "ko" : "en");
  dsum.language = asked === "ko" ? "ko" : "en";
  document.getElementById("language").value = dsum.language;
  translate();
  setTheme(["light", "dark"].includes(kept("theme")) ? kept("theme") : "auto");
  dsum.board = document.querySelector("article.board")?.id ?? null;

  document.getElementById("language").addEventListener("change", (event) => {
    dsum.language = event.target.value;
    keep("language", dsum.language);
    translate();
    dsum.refresh();
  });
  document.getElementById("theme").addEventListener("click", () => {
    setTheme({ auto: dark.matches ? "light" : "dark", light: dark.matches ? "dark" : "auto", dark: dark.matches ? "auto" : "light" }[dsum.theme]);
    keep("theme", dsum.theme);
    dsum.refresh();
  });
  dark.addEventListener("change", () => dsum.refresh());
  document.getElementById("board")?.addEventListener("change", (event) => dsum.choose(event.target.value));
  addEventListener("hashchange", route);
  document.getElementById("run-filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase().split(/\s+/);
    for (const run of document.querySelectorAll("details.run")) {
      const text = run.querySelector("summary").textContent.toLowerCase();
      run.hidden = !wanted.every((word) => text.includes(word));
    }
  });
  for (const menu of document.querySelectorAll("details.menu")) menu.addEventListener("toggle", () => fit(menu));
  dsum.setUpBoards();
  dsum.setUpSamples();
  dsum.setUpCharts();
  if (document.body.hasAttribute("data-live")) dsum.setUpLive?.();
  route();
  document.documentElement.dataset.ready = "";
});
dsum.refresh = () => {
  dsum.redrawAll();
  dsum.drawSample();
};
})();
