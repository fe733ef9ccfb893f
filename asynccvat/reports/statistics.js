"use strict";
/* The page of statistics: figures, two charts and tables. All data is shown as text. */
const Statistics = {
  MOST_BARS: 20,

  async start() {
    try {
      Statistics.show(await Statistics.read(document.getElementById("data").textContent));
      document.documentElement.dataset.ready = "";
    } catch (error) {
      const problem = document.getElementById("problem");
      problem.textContent = `This page cannot be shown: ${error.message}`;
      problem.hidden = false;
    }
  },

  async read(text) {
    const data = JSON.parse(text);
    if (data.gzip === undefined) return data;
    const packed = Uint8Array.from(atob(data.gzip), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  },

  show(data) {
    document.getElementById("report").hidden = false;
    document.getElementById("place").textContent = data.source;
    Statistics.cards(data);
    const bars = data.labels.slice(0, Statistics.MOST_BARS).map(([label, kind, objects]) => ({name: `${label} · ${kind}`, objects}));
    Statistics.bars("labels-chart", bars, "Objects by label and kind");
    Statistics.bars("sizes-chart", Object.entries(data.sizes).map(([name, objects]) => ({name, objects})), "Objects by size");
    Statistics.table("labels", ["label", "kind", "objects", "tracks", "seen on frames"], data.labels);
    Statistics.table("image-sizes", ["size of images", "images"], data.imageSizes);
    Statistics.table("tasks", ["task", "name", "images", "empty", "deleted", "objects", "tracks", "seen on frames"], data.rows);
    if (data.rows.length < data.tasks) document.getElementById("tasks-note").textContent = `the ${Format.count(data.rows.length)} with the most objects`;
    document.getElementById("failed-section").hidden = !data.failed.length;
    Statistics.table("failed", ["task", "why"], data.failed);
  },

  cards({tasks, total}) {
    const figures = [["Tasks", tasks], ["Images", total.images], ["Empty images", total.empty], ["Deleted frames", total.deleted], ["Objects", total.objects], ["Tracks among them", total.tracks], ["Seen on frames", total.onFrames]];
    document.getElementById("cards").replaceChildren(...figures.map(([name, count]) => {
      const card = document.createElement("div");
      card.append(Statistics.element("dt", name), Statistics.element("dd", Format.count(count)));
      return card;
    }));
  },

  element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  },

  bars(id, rows, label) {
    const place = document.getElementById(id);
    if (!rows.length) return;
    const width = Math.max(240, Math.floor(place.clientWidth));
    const chart = Plot.plot({
      width,
      className: "chart",
      height: 34 + 24 * rows.length,
      marginLeft: Math.min(width * 0.4, 24 + 7 * Math.max(...rows.map((row) => row.name.length))),
      marginRight: 60,
      x: {label: null, grid: true, ticks: 4, tickFormat: Format.count},
      y: {label: null, domain: rows.map((row) => row.name), tickSize: 0},
      marks: [
        Plot.barX(rows, {x: "objects", y: "name", fill: "var(--transferring)"}),
        Plot.text(rows, {x: "objects", y: "name", text: (row) => Format.count(row.objects), textAnchor: "start", dx: 5, fill: "currentColor"}),
      ],
    });
    /* Plot's own style element would break the policy. */
    for (const style of chart.querySelectorAll("style")) style.remove();
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", label);
    place.replaceChildren(chart);
  },

  table(id, titles, rows) {
    const head = document.createElement("tr");
    for (const title of titles) {
      const cell = Statistics.element("th", title);
      cell.scope = "col";
      cell.className = "plain";
      head.append(cell);
    }
    const lines = rows.map((row) => {
      const line = document.createElement("tr");
      for (const value of row) {
        const cell = Statistics.element("td", typeof value === "number" ? Format.count(value) : value);
        cell.title = cell.textContent;
        line.append(cell);
      }
      return line;
    });
    const top = document.createElement("thead"), body = document.createElement("tbody");
    top.append(head);
    body.append(...lines);
    document.getElementById(id).replaceChildren(top, body);
  },
};
Statistics.start();
