"use strict";
(() => {
// Tables: sort by a column, filter rows, choose columns.

dsum.setUpBoards = () => {
  for (const table of document.querySelectorAll("table.data")) sortable(table);
  for (const article of document.querySelectorAll("article.board")) {
    const table = article.querySelector("table.ranked");
    if (!table) continue;
    const filter = article.querySelector(".filter");
    filter.addEventListener("input", () => filterRows(table, filter.value, article.querySelector(".count")));
    filterRows(table, "", article.querySelector(".count"));
    for (const box of article.querySelectorAll("input[data-column]")) {
      box.addEventListener("change", () => {
        for (const cell of table.querySelectorAll(`[data-column="${box.dataset.column}"]`)) cell.hidden = !box.checked;
      });
    }
    article.querySelector(".copy").addEventListener("click", async (event) => {
      const button = event.currentTarget;
      try {
        await navigator.clipboard.writeText(article.querySelector(".cite").textContent.trim());
        button.dataset.t = "copied";
      } catch {
        getSelection().selectAllChildren(article.querySelector(".cite"));
      }
      button.textContent = dsum.say(button.dataset.t);
    });
  }
  for (const link of document.querySelectorAll("[data-open]")) {
    link.addEventListener("click", (event) => { event.preventDefault(); dsum.openRun(link.dataset.open); });
  }
};

// Numbers by value, the largest first at the second press; empty cells stay last either way.
const sortable = (table) => {
  const heads = [...table.querySelectorAll("thead th")];
  table.classList.toggle("ordered", table.classList.contains("ranked"));
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === (head.classList.contains("main") ? "descending" : "ascending");
    const falling = head.classList.contains("main") ? !down : down;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.v ?? row.cells[column].textContent, row]);
    const numbers = rows.every(([value]) => value === "" || !Number.isNaN(Number(value)));
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return (falling ? -1 : 1) * (numbers ? Number(a) - Number(b) : a.localeCompare(b));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    table.classList.toggle("ordered", head.dataset.key === "rank" && !falling);
  }));
};

const filterRows = (table, text, count) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  const shown = rows.filter((row) => !row.hidden).length;
  count.replaceChildren(dsum.word("shown.runs", shown, rows.length));
};
})();
