"use strict";
(() => {
// The sample explorer. Every string of a dataset or a model is put in as a text node.

const explorer = { texts: null, scores: null, flags: null, board: null, order: [], at: 0, shown: 0, haystack: null };
const PAGE = 200; // rows of the list at first
const LONG = 20000; // characters of a text from which on it is cut and not marked
const $ = (id) => document.getElementById(id);

dsum.setUpSamples = () => {
  for (const id of ["run-a", "run-b", "sample-measure", "sample-order", "topic", "length", "finding"]) {
    $(id).addEventListener("change", () => arrange());
  }
  $("run-more").addEventListener("change", () => { explorer.haystack = null; dsum.drawSample(); });
  $("search").addEventListener("input", () => arrange());
  $("finder").addEventListener("submit", (event) => event.preventDefault());
  $("sample-more").addEventListener("click", () => fillList(explorer.shown + PAGE));
  addEventListener("keydown", (event) => {
    if (dsum.tab !== "samples" || event.altKey || event.ctrlKey || event.metaKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typing) { event.target.blur(); return; }
    if (typing) return;
    const step = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1, ArrowDown: event.target.closest?.("#sample-list") ? 1 : 0, ArrowUp: event.target.closest?.("#sample-list") ? -1 : 0 }[event.key];
    if (step) { event.preventDefault(); go(explorer.at + step); }
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
  });
};

// -- opening -------------------------------------------------------------------------------------------------------

const load = async () => {
  if (explorer.board === dsum.board || !dsum.board) return;
  const board = dsum.page.boards[dsum.board];
  const key = dsum.board;
  const [texts, scores] = await Promise.all([dsum.json(board.texts), dsum.scores(key)]);
  if (dsum.board !== key) return;
  const other = Object.keys(dsum.page.boards).find((k) => dsum.page.boards[k].texts === board.texts && dsum.page.boards[k].metric === "text");
  const flags = other ? await dsum.scores(other) : null;
  Object.assign(explorer, { board: key, texts, scores, flags, haystack: null });
  fillChoices(board);
  $("samples-wait").hidden = true;
  $("explorer").hidden = !board.runs.length;
};

dsum.openSamples = async () => {
  const before = explorer.board;
  await load();
  if (before !== explorer.board || !explorer.order.length) arrange();
};

dsum.openRun = async (run) => {
  await load();
  $("run-a").value = run;
  if (location.hash !== "#samples") location.hash = "samples";
  arrange();
};

dsum.openSample = async (run, sample) => {
  const board = dsum.page.boards[dsum.board];
  if (board && !board.runs.some((r) => r.id === run)) {
    const other = Object.keys(dsum.page.boards).find((key) => dsum.page.boards[key].runs.some((r) => r.id === run));
    if (other) dsum.choose(other);
  }
  await load();
  if (!explorer.texts) return;
  const place = explorer.texts.ids.indexOf(sample);
  if (place < 0) { arrange(); return; }
  const fresh = $("run-a").value !== run || !explorer.order.length;
  $("run-a").value = run;
  if ($("run-b").value === run) $("run-b").value = "";
  if (fresh) arrange(place);
  if (!explorer.order.includes(place)) {
    for (const id of ["search", "topic", "length", "finding"]) $(id).value = "";
    arrange(place);
  }
  const at = explorer.order.indexOf(place);
  if (at !== explorer.at || fresh) { explorer.at = at; dsum.drawSample(); }
};

const fillChoices = (board) => {
  const option = (value, label) => dsum.element("option", { value }, label);
  const runs = board.runs.map((run) => option(run.id, run.label));
  const control = board.runs.find((run) => run.kind === "control");
  const models = board.runs.filter((run) => run.kind === "model");
  const first = (models[0] ?? board.runs[0])?.id ?? "";
  const second = (models[1] ?? board.runs.find((run) => run.id !== first))?.id ?? "";
  const none = dsum.element("option", { value: "", "data-t": "run.none" }, dsum.say("run.none"));
  $("run-a").replaceChildren(...runs);
  $("run-b").replaceChildren(none, ...runs.map((node) => node.cloneNode(true)));
  $("run-a").value = first;
  $("run-b").value = second;
  $("run-more").replaceChildren(...board.runs.map((run) => dsum.element("label", {},
    dsum.element("input", { type: "checkbox", value: run.id, checked: run.id === control?.id && run.id !== second ? "" : null }), dsum.element("span", {}, run.label))));
  $("sample-measure").replaceChildren(...board.measures.map((measure) => option(measure, measure)));
  $("sample-measure").value = board.measure;
  const any = () => dsum.element("option", { value: "", "data-t": "any" }, dsum.say("any"));
  const topics = [...new Set(explorer.texts.topics.filter(Boolean))].sort((a, b) => a.localeCompare(b));
  $("topic").replaceChildren(any(), ...topics.map((topic) => option(topic, topic)));
  $("topic").closest("label").hidden = !topics.length;
  const sizes = explorer.texts.characters.filter((size) => size !== null).sort((a, b) => a - b);
  const edges = [0, 0.25, 0.5, 0.75].map((share) => sizes[Math.floor(sizes.length * share)]);
  $("length").replaceChildren(any(), ...edges.map((low, i) => {
    const high = i < 3 ? edges[i + 1] - 1 : sizes.at(-1);
    return high < low ? null : option(`${low}-${high}`, `${low}–${high}`);
  }).filter(Boolean));
  $("length").closest("label").hidden = !sizes.length;
};

// -- which samples, in which order -----------------------------------------------------------------------------------

const chosen = () => {
  const more = [...$("run-more").querySelectorAll("input:checked")].map((box) => box.value);
  return [...new Set([$("run-a").value, $("run-b").value, ...more].filter(Boolean))];
};

const flagsOf = (run, place) => {
  const columns = explorer.texts.runs[run];
  const over = (measure) => (explorer.flags?.(run, measure)?.[place] ?? 0) > (measure === "foreign" ? 5 : measure === "repeated" ? 20 : 0);
  return [
    columns.finish[place] === "length" && "cut",
    (columns.trimmed_turns[place] || columns.trimmed_chars[place]) && "trimmed",
    columns.empty[place] && "empty",
    columns.finish[place] === "refused" && "refused",
    over("foreign") && "foreign", over("repeated") && "repeated", over("meta") && "meta",
  ].filter(Boolean);
};

const plain = (text) => text.normalize("NFC").toLowerCase();
const haystack = (runs) => {
  const { texts } = explorer;
  const key = runs.join();
  if (explorer.haystack?.key !== key) {
    const all = texts.ids.map((id, i) => plain([id, ...(texts.dialogues[i] ?? []), ...texts.references[i], ...runs.map((run) => texts.runs[run].summary?.[i] ?? "")].join("\n")));
    explorer.haystack = { key, all };
  }
  return explorer.haystack.all;
};

const arrange = (place = null) => {
  const { texts, scores } = explorer;
  if (!texts) return;
  const [a, b, measure] = [$("run-a").value, $("run-b").value, $("sample-measure").value];
  const [topic, finding, length, words] = [$("topic").value, $("finding").value, $("length").value, plain($("search").value.trim())];
  const [low, high] = length.split("-").map(Number);
  const hay = words ? haystack(chosen()) : null;
  const fits = (i) => (!topic || texts.topics[i] === topic) && (!length || (texts.characters[i] >= low && texts.characters[i] <= high))
    && (!finding || flagsOf(a, i).includes(finding)) && (!words || hay[i].includes(words));
  const of = scores(a, measure) ?? [];
  const against = b ? scores(b, measure) : null;
  const value = {
    worst: (i) => of[i], best: (i) => -of[i], longest: (i) => -texts.characters[i], position: (i) => i,
    gap: (i) => (against ? -Math.abs(of[i] - against[i]) : of[i]),
  }[$("sample-order").value];
  const keyed = texts.ids.map((_, i) => i).filter(fits).map((i) => [Number.isNaN(value(i)) ? Infinity : value(i), i]);
  keyed.sort((x, y) => x[0] - y[0] || x[1] - y[1]);
  explorer.order = keyed.map(([, i]) => i);
  explorer.at = place === null ? 0 : Math.max(0, explorer.order.indexOf(place));
  $("sample-count").replaceChildren(dsum.word("count", explorer.order.length, texts.ids.length));
  fillList(Math.max(PAGE, explorer.at + 50));
  dsum.drawSample();
};

const address = (place) => `#${encodeURIComponent($("run-a").value)}/${encodeURIComponent(explorer.texts.ids[place])}`;

const fillList = (count) => {
  const { texts, scores, order } = explorer;
  const values = scores($("run-a").value, $("sample-measure").value) ?? [];
  explorer.shown = Math.min(count, order.length);
  $("sample-list").replaceChildren(...order.slice(0, explorer.shown).map((i) => {
    const gist = texts.references[i]?.[0] ?? texts.dialogues[i]?.[0] ?? "";
    return dsum.element("li", {}, dsum.element("a", { href: address(i), "data-place": String(i) },
      dsum.element("b", {}, texts.ids[i]),
      dsum.element("span", { class: "value" }, Number.isFinite(values[i]) ? values[i].toFixed(2) : ""),
      dsum.element("span", { class: "gist" }, gist.slice(0, 80))));
  }));
  $("sample-more").hidden = explorer.shown >= order.length;
};

let addressing = 0;
const go = (at) => {
  if (at < 0 || at >= explorer.order.length) return;
  const inList = document.activeElement?.closest?.("#sample-list");
  explorer.at = at;
  if (at >= explorer.shown) fillList(at + PAGE);
  // A browser ignores addresses after the first few hundred in ten seconds, and j held down comes to that many.
  clearTimeout(addressing);
  addressing = setTimeout(() => {
    if (dsum.tab === "samples") history.replaceState(null, "", address(explorer.order[explorer.at]));
  }, 150);
  dsum.drawSample();
  if (inList) $("sample-list").children[at]?.firstChild.focus({ preventScroll: true });
};

// -- words and their marks -------------------------------------------------------------------------------------------

const WORD = /#[^#\s]{1,24}#|[\p{L}\p{N}]+/gu;
const PARTICLES = ["에게서", "에서는", "으로는", "이라고", "에게", "에서", "으로", "한테", "까지", "부터", "처럼", "보다", "라고", "이나", "와의", "과의", "은", "는", "이", "가", "을", "를", "의", "에", "도", "로", "와", "과", "만", "나", "께"];
const VERB = /^(.{2,}?)(?:하|했|한|할|합|해|되|됐|된|될|됩|돼|시키|시켰|시킨)/u;

// The forms under which a word is looked up: itself, without its particle, without its verb ending.
const forms = (word) => {
  const found = [plain(word)];
  const text = found[0];
  if (/^[가-힣]{2,}$/.test(text)) {
    const particle = PARTICLES.find((end) => text.length > end.length && text.endsWith(end));
    if (particle) found.push(text.slice(0, -particle.length));
    const verb = VERB.exec(text);
    if (verb) found.push(verb[1]);
  } else if (/^[a-z]{4,}s$/.test(text)) found.push(text.slice(0, -1));
  return found;
};
const vocabulary = (texts) => new Set(texts.flatMap((text) => (text.match(WORD) ?? []).flatMap(forms)));

const marked = (text, inReference, inDialogue, query) => {
  const parts = document.createDocumentFragment();
  let end = 0;
  let afterTag = false; // "#Person1#은": the particle behind a tag is not a word of its own
  for (const match of text.matchAll(WORD)) {
    const word = match[0];
    const glued = afterTag && match.index === end;
    parts.append(dsum.visible(text.slice(end, match.index)));
    const shared = forms(word).some((form) => inReference.has(form));
    const known = shared || forms(word).some((form) => inDialogue.has(form));
    const kind = glued ? null : shared ? "shared" : known ? null : "new";
    const hit = query && plain(word).includes(query);
    if (kind || hit) parts.append(dsum.element("mark", { class: [kind, hit && "hit"].filter(Boolean).join(" ") }, word));
    else parts.append(dsum.visible(word));
    end = match.index + word.length;
    afterTag = word.startsWith("#");
  }
  parts.append(dsum.visible(text.slice(end)));
  return parts;
};

const block = (text, render) => {
  const place = dsum.element("div", { class: "text", lang: "ko" });
  if (text.length <= LONG) { place.append(render(text)); return place; }
  const button = dsum.element("button", { type: "button" }, dsum.word("all", text.length));
  button.addEventListener("click", () => place.replaceChildren(dsum.visible(text)));
  place.append(`${dsum.visible(text.slice(0, 2000))} … `, button);
  return place;
};

// -- one sample --------------------------------------------------------------------------------------------------------

dsum.drawSample = () => {
  const { texts, order, at } = explorer;
  if (!texts || dsum.tab !== "samples") return;
  const place = order[at];
  for (const link of $("sample-list").querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  if (place === undefined) { $("sample").replaceChildren(dsum.word("nomatch")); return; }
  const link = $("sample-list").children[at]?.firstChild;
  link?.setAttribute("aria-current", "true");
  if (link) {
    const list = link.closest(".list");
    const top = link.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + link.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
  }
  const dialogue = texts.dialogues[place];
  const references = texts.references[place];
  const inReference = vocabulary(references);
  const inDialogue = vocabulary(dialogue ?? []);
  const query = plain($("search").value.trim());
  const marks = (text) => (dialogue || references.length ? marked(text, inReference, inDialogue, query) : dsum.visible(text));
  $("sample").replaceChildren(
    head(place),
    dsum.element("h4", {}, dsum.word("dialogue")), dialogueOf(dialogue),
    ...(references.length ? [dsum.element("h4", {}, dsum.word("reference"))] : []),
    dsum.element("div", { class: "columns" }, ...references.map((text, i) => dsum.element("section", { class: "summary reference" },
      references.length > 1 ? dsum.element("h4", {}, dsum.word("reference.n", i + 1)) : null, block(text, dsum.visible)))),
    dsum.element("h4", {}, dsum.word("summaries")),
    dsum.element("div", { class: "columns" }, ...chosen().map((run) => summaryOf(run, place, marks))),
    legend(),
  );
};

const head = (place) => {
  const { texts, order, at } = explorer;
  const button = (key, to) => {
    const made = dsum.element("button", { type: "button", disabled: to < 0 || to >= order.length ? "" : null }, dsum.word(key));
    made.addEventListener("click", () => go(to));
    return made;
  };
  const told = [texts.topics[place], texts.characters[place] !== null && dsum.say("chars", texts.characters[place]),
    texts.turns[place] !== null && dsum.say("turns", texts.turns[place])].filter(Boolean);
  return dsum.element("div", { class: "sample-head" },
    dsum.element("h3", {}, dsum.element("bdi", {}, texts.ids[place])),
    ...told.map((text) => dsum.element("span", { class: "chip" }, text)),
    dsum.element("span", { class: "grow" }),
    dsum.element("span", {}, `${at + 1} / ${order.length}`),
    button("previous", at - 1), button("next", at + 1),
    dsum.element("a", { href: address(place) }, dsum.word("link")));
};

const dialogueOf = (turns) => {
  if (!turns) return dsum.element("p", { class: "legend" }, dsum.word(document.body.hasAttribute("data-textless") ? "dialogue.left" : "dialogue.none"));
  const speakers = [];
  return dsum.element("ol", { class: "turns card", tabindex: "0", lang: "ko" }, ...turns.slice(0, 2000).map((turn) => {
    const [, name, rest] = /^\s*(#[^#\s]{1,24}#|[^:：\n]{1,24}(?=[:：]))\s*[:：]?\s*([^]*)$/u.exec(turn) ?? [null, "", turn];
    if (name && !speakers.includes(name)) speakers.push(name);
    return dsum.element("li", {},
      dsum.element("span", { class: `speaker s${Math.max(0, speakers.indexOf(name)) % 4}` }, name.replaceAll("#", "")),
      dsum.element("span", {}, rest.length > LONG ? `${rest.slice(0, 2000)} …` : rest));
  }));
};

const summaryOf = (run, place, marks) => {
  const { texts, scores } = explorer;
  const board = dsum.page.boards[dsum.board];
  const columns = texts.runs[run];
  const measure = $("sample-measure").value;
  const made = dsum.element("section", { class: "summary", "data-run": run });
  const value = scores(run, measure)?.[place];
  made.append(dsum.element("h4", {}, dsum.element("bdi", {}, dsum.page.labels[run]),
    dsum.element("span", { class: "value", "data-v": String(value) }, Number.isFinite(value) ? value.toFixed(2) : "")));
  if (columns.new_tokens[place] === null) { made.append(dsum.element("p", {}, dsum.word("missing"))); return made; }
  const summary = columns.summary?.[place] ?? null;
  if (summary !== null) made.append(summary.trim() ? block(summary, marks) : dsum.element("p", { class: "text" }, dsum.word("empty")));
  else made.append(dsum.element("p", { class: "legend" }, dsum.word("dialogue.left")));
  const flags = flagsOf(run, place);
  if (flags.length) made.append(dsum.element("p", { class: "small" }, ...flags.map((flag) => dsum.element("span", { class: "flag" }, dsum.word(`flag.${flag}`)))));
  const values = dsum.element("p", { class: "small" });
  for (const name of board.measures) {
    const score = scores(run, name)?.[place];
    if (Number.isFinite(score)) values.append(dsum.element("span", { "data-measure": name, "data-v": String(score) }, `${name} ${score.toFixed(2)}`), " · ");
  }
  const tokens = columns.new_tokens[place];
  values.append(tokens ? dsum.say("tokens", tokens) : "", tokens && columns.seconds[place] ? `, ${columns.seconds[place].toFixed(2)} s` : "");
  made.append(values);
  const note = columns.note?.[place];
  if (note) made.append(dsum.element("p", { class: "small" }, dsum.word("noted"), " ", note.slice(0, 2000)));
  const written = columns.output?.[place];
  if (written !== null && written !== undefined && written.trim() !== summary.trim()) {
    made.append(dsum.element("details", { class: "small" }, dsum.element("summary", {}, dsum.word("written")), block(written, dsum.visible)));
  }
  return made;
};

const legend = () => dsum.element("p", { class: "legend" },
  dsum.element("mark", { class: "shared" }, dsum.word("marks.shared")), " ",
  dsum.element("mark", { class: "new" }, dsum.word("marks.new")), " ", dsum.word("marks.legend"));
})();
