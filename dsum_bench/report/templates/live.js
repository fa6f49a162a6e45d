"use strict";
(() => {
// The served page: ask how far things are, and show it. New results load the page anew, where nobody is reading.

const EVERY = 2000;
const time = (seconds) => {
  const minutes = Math.round(seconds / 60);
  return seconds < 90 ? `${Math.round(seconds)} s` : minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

const runCard = (run) => dsum.element("section", { class: "card", "data-run": run.run },
  dsum.element("h3", {}, dsum.element("bdi", {}, run.model), ` (${run.how})`),
  dsum.element("progress", { max: String(run.total), value: String(run.done), "aria-label": run.model }),
  dsum.element("p", {}, dsum.say("live.samples", run.done, run.total),
    run.rate ? `, ${dsum.say("live.rate", run.rate >= 1 ? run.rate.toFixed(1) : (run.rate * 60).toFixed(1), dsum.say(run.rate >= 1 ? "live.second" : "live.minute"))}` : "",
    run.left !== null && run.done < run.total ? `, ${dsum.say("live.left", time(run.left))}` : ""),
  run.quiet > 60 ? dsum.element("p", { class: "flag" }, dsum.say("live.quiet", time(run.quiet))) : null,
  ...run.last.map((sample) => dsum.element("p", { class: "legend" }, dsum.element("b", {}, sample.sample_id), " ",
    sample.summary.length > 300 ? `${sample.summary.slice(0, 300)} …` : sample.summary || dsum.say("empty"))));

const curves = new Map();
const trainingCard = (training) => {
  const card = dsum.element("section", { class: "card" }, dsum.element("h3", {}, dsum.element("bdi", {}, training.id)));
  const last = Object.entries(training.curve).map(([name, points]) => `${name} ${points.at(-1)[1].toPrecision(4)} (${points.at(-1)[0]})`);
  card.append(dsum.element("p", {}, last.join(", ")));
  const rows = (training.curve.loss ?? []).map(([step, value]) => ({ label: training.id, step, value }));
  const place = dsum.element("div", { class: "chart" });
  card.append(place);
  if (rows.length > 1) curves.set(place, rows);
  return card;
};

const draw = (state) => {
  const place = document.getElementById("live");
  curves.clear();
  const counts = Object.entries(state.counts).map(([status, count]) => `${status} ${count}`).join(" · ");
  place.replaceChildren(
    dsum.element("p", { class: "lead" }, state.running.length || state.trainings.length ? counts : `${dsum.say("live.idle")} ${counts}`),
    dsum.element("div", { class: "live" }, ...state.running.map(runCard), ...state.trainings.map(trainingCard)));
  for (const [chart, rows] of curves) dsum.chart(chart, "curve", rows, {}, rows[0].label);
};

let shown = "";
const ask = async () => {
  if (!document.hidden) {
    try {
      const state = await (await fetch("live")).json();
      const told = JSON.stringify({ ...state, running: state.running.map((run) => ({ ...run, quiet: Math.floor(run.quiet / 30) })) });
      if (told !== shown) { draw(state); shown = told; }
      const reading = dsum.tab === "samples" || document.activeElement?.matches("input, select");
      if (state.stamp !== document.body.dataset.live && !reading) { location.reload(); return; }
    } catch {
      document.getElementById("live").replaceChildren(dsum.word("live.gone"));
      shown = "";
    }
  }
  setTimeout(ask, EVERY);
};
dsum.setUpLive = ask;
})();
