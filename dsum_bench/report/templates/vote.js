"use strict";
(() => {
// A blind vote: two summaries without names; texts become text nodes.

if (window.trustedTypes) {
  trustedTypes.createPolicy("default", { createHTML: (html) => { if (html) throw new TypeError("no HTML from strings"); return ""; } });
}
const $ = (id) => document.getElementById(id);
let voter = "";
let asked = null;

const show = (told) => {
  asked = told;
  $("progress").textContent = `${told.total - told.left} / ${told.total}`;
  $("question").hidden = told.item === null;
  $("done").hidden = told.item !== null;
  if (told.item === null) return;
  $("dialogue").replaceChildren(...told.dialogue.map((turn) => {
    const row = document.createElement("li");
    const [, name, rest] = /^\s*(#[^#\s]{1,24}#|[^:：\n]{1,24}(?=[:：]))\s*[:：]?\s*([^]*)$/u.exec(turn) ?? [null, "", turn];
    for (const [text, kind] of [[name.replaceAll("#", ""), "speaker"], [rest, "said"]]) {
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      row.append(part);
    }
    return row;
  }));
  $("first").textContent = told.first || "(빈 요약)";
  $("second").textContent = told.second || "(빈 요약)";
  $("dialogue").scrollTop = 0;
};

const choose = async (choice) => {
  if (!asked || asked.item === null) return;
  const item = asked.item;
  asked = null; // one press, one vote
  const answer = await fetch("vote", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ voter, item, choice }) });
  if (answer.ok) show(await answer.json());
  else $("progress").textContent = await answer.text();
};

$("who").addEventListener("submit", async (event) => {
  event.preventDefault();
  voter = $("voter").value.trim();
  const answer = await fetch(`next?voter=${encodeURIComponent(voter)}`);
  if (!answer.ok) { $("progress").textContent = await answer.text(); return; }
  $("who").hidden = true;
  show(await answer.json());
});
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => choose(button.dataset.choice));
addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = { 1: "first", ArrowLeft: "first", 2: "second", ArrowRight: "second", 0: "tie", ArrowDown: "tie" }[event.key];
  if (choice && !(event.key === "ArrowDown" && event.target.id === "dialogue")) { event.preventDefault(); choose(choice); }
});
})();
