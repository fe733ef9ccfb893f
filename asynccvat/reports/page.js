"use strict";
/* Fill the page from its data. Texts of the run are shown as text, never as markup. */
const Report = {
  PHASES: ["at the server", "waiting", "exporting", "transferring", "committing", "retrying"],
  /* Phases in which a task waits for no other one. */
  OWN: [2, 3, 4, 5],
  /* What a run waits for has the colour of the phase in which tasks do. */
  CAUSES: {lists: "c0", other: "c1", server: "c2", network: "c3", disk: "c4", retries: "c5", outage: "c6", pause: "c7"},
  ROW: 34,
  LINE: 22,
  /* Rows and lines on paper: a time line does not break between pages. */
  PRINTED: 500,
  PRINTED_LINES: 45,

  async start() {
    const data = await Report.read(document.getElementById("data").textContent);
    document.getElementById("report").hidden = false;
    const names = [...Report.PHASES];
    if (data.work.includes("import")) names[2] = data.work.includes("export") ? "server working" : "importing";
    if (data.head.command === "delete") names[1] = "being deleted";
    Head.fill(data, names);
    const draw = () => Draw.all(data, names);
    draw();
    Lines.start(data, names);
    Table.start(data, names);
    let width = window.innerWidth;
    let waiting = 0;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => { draw(); Lines.draw(); Table.draw(); });
    });
    window.addEventListener("beforeprint", () => { draw(); Lines.draw(Report.PRINTED_LINES); Table.draw(Report.PRINTED); });
    window.addEventListener("afterprint", () => { draw(); Lines.draw(); Table.draw(); });
    document.documentElement.dataset.ready = "yes";
  },

  async read(text) {
    const data = JSON.parse(text);
    if (data.gzip === undefined) return data;
    const packed = Uint8Array.from(atob(data.gzip), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  },

  element(name, text, ...classes) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (classes.length) made.className = classes.join(" ");
    return made;
  },

  set: (id, text) => { document.getElementById(id).textContent = text; },

  show: (id, shown = true) => { document.getElementById(id).hidden = !shown; },
};

const Head = {
  STATES: {done: "Done", failed: "Some failed", stopped: "Stopped", interrupted: "Interrupted", refused: "Refused", unfinished: "Unfinished", incomplete: "Incomplete"},

  fill(data, names) {
    const {head} = data;
    Report.set("program", `asynccvat ${head.version}`.trim());
    const began = new Date(head.startedAt);
    Report.set("when", began.toLocaleString(undefined, {dateStyle: "long", timeStyle: "medium"}));
    Report.set("title", `${head.command}${head.server ? ` · ${head.server.replace(/^https?:\/\//, "")}` : ""}`);
    const state = document.getElementById("state");
    state.textContent = head.state === "failed" ? `${Format.count(head.counts.failed || 0)} failed` : Head.STATES[head.state];
    state.classList.add(head.state);
    Report.set("place", head.place === head.server ? "" : head.place);
    Report.set("explanation", head.explanation);
    Report.show("explanation", Boolean(head.explanation));
    Head.cards(head, data);
    Head.shares(data, names);
    Head.messages(data);
    const settings = document.getElementById("settings");
    Report.show("setup", data.settings.length > 0);
    for (const [name, value] of data.settings) settings.append(Report.element("dt", name), Report.element("dd", value));
  },

  cards(head, data) {
    const cards = document.getElementById("cards");
    const card = (label, value, note, bad) => {
      const box = Report.element("div", undefined, ...(bad ? ["bad"] : []));
      const shown = Report.element("dd", value);
      if (note) shown.append(Report.element("small", note));
      box.append(Report.element("dt", label), shown);
      cards.append(box);
    };
    const counts = Object.entries(head.counts).filter(([action]) => action !== "failed");
    const left = head.state !== "done" && head.planned > head.done ? `${Format.count(head.done)} of ${Format.count(head.planned)} done; ` : "";
    card(`${head.noun[0].toUpperCase()}${head.noun.slice(1)}s`, Format.count(head.tasks), left + counts.map(([action, count]) => `${Format.count(count)} ${action}`).join(", "));
    card("Failed", Format.count(head.counts.failed || 0), head.retries ? `${Format.counted(head.retries, "step")} retried` : "", head.counts.failed > 0);
    card("Time", Format.seconds(head.seconds), head.requests ? Format.counted(head.requests, "request") : "");
    const worked = d3.sum(data.series.done);
    if (worked) card("Rate", head.seconds ? `${(worked / head.seconds).toFixed(worked / head.seconds < 10 ? 1 : 0)}/s` : "none", `${head.noun}s with work`);
    card("Bytes", Format.bytes(head.transferred), head.seconds && head.transferred ? `${Format.bytes(head.transferred / head.seconds)}/s on average` : "");
  },

  shares(data, names) {
    Report.show("waits-figure", data.waits.length > 0);
    const run = d3.sum(data.waits, ([, , seconds]) => seconds);
    const waits = data.waits.filter(([, , seconds]) => seconds >= 0.01 * run);
    Head.bar("waits", waits.map(([cause, words, seconds]) => [Report.CAUSES[cause], words, seconds]), "Time of the run");
    const phases = [...Report.PHASES.entries()].map(([number, phase]) => [`c${number}`, names[number], data.phases[phase] || 0]);
    const whole = Head.bar("shares", phases, "Time of all tasks together");
    Report.show("time", whole > 0);
    Report.show("slow", whole > 0);
    Report.show("lines", whole > 0);
    Report.show("estimated", data.estimated > 0);
    const work = names[2] === "server working" ? "request" : names[2].replace("ing", "");
    Report.set("estimated", `When ${Format.counted(data.estimated, work)} began is estimated from how long the others took: most results are fetched when they are predicted to be ready, without asking.`);
  },

  /* Fill a bar and its legend with parts of a class, a name and seconds; return the sum. */
  bar(id, parts, label) {
    const bar = document.getElementById(id);
    const legend = document.getElementById(`${id}-legend`);
    const whole = d3.sum(parts, ([, , seconds]) => seconds);
    const spoken = [];
    for (const [colour, name, seconds] of parts) {
      if (!seconds) continue;
      const part = Report.element("i", undefined, colour);
      part.style.flex = `${seconds} 1 0`;
      part.title = `${name}: ${Format.seconds(seconds)}`;
      bar.append(part);
      const item = Report.element("li");
      item.append(Report.element("i", undefined, colour), `${name} `, Report.element("b", Format.share(seconds, whole)));
      legend.append(item);
      spoken.push(`${name} ${Format.share(seconds, whole)}`);
    }
    bar.setAttribute("aria-label", `${label}: ${spoken.join(", ")}`);
    return whole;
  },

  messages(data) {
    const groups = document.getElementById("groups");
    Report.show("failures", data.failures.length > 0);
    for (const group of data.failures) {
      const item = Report.element("li");
      const ids = group.ids.filter((id) => id);
      const more = group.count - group.ids.length;
      item.append(Report.element("span", Format.count(group.count), "count"));
      if (group.error) item.append(Report.element("b", group.error), " ");
      item.append(Report.element("span", group.message));
      if (ids.length) item.append(Report.element("p", `${data.head.noun} ${ids.join(", ")}${more > 0 ? ` and ${Format.count(more)} more` : ""}`, "ids"));
      if (group.retry) item.append(Retry.element(group.retry));
      groups.append(item);
    }
    Report.show("retry", Boolean(data.retryAll));
    if (data.retryAll) document.getElementById("retry").append(Retry.element(data.retryAll));
    const list = document.getElementById("warning-list");
    Report.show("warnings", data.warnings.length > 0);
    for (const warning of data.warnings) list.append(Report.element("li", warning));
    const hidden = data.warningCount - data.warnings.length;
    if (hidden > 0) list.append(Report.element("li", `${Format.count(hidden)} more`));
  },
};

/* Commands that retry what failed. */
const Retry = {
  element(command) {
    const line = Report.element("p", "", "command");
    const code = Report.element("code", command);
    const copy = Report.element("button", "Copy");
    copy.type = "button";
    copy.setAttribute("aria-label", `Copy the command: ${command}`);
    copy.addEventListener("click", () => Retry.copy(code, copy));
    line.append(code, copy);
    return line;
  },

  /* Without the clipboard, the command is selected, for the keys that copy. */
  async copy(code, button) {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  },
};

const Draw = {
  all(data, names) {
    if (document.getElementById("time").hidden) return;
    const {series} = data;
    Charts.phases(document.getElementById("phases"), data, names);
    const work = series.phases.exporting || series.done.map(() => 0);
    const what = {exporting: "exports", importing: "imports"}[names[2]] || "exports and imports";
    const busy = work.filter((value) => value > 0.05);
    Report.set("workers-title", `Server's workers: ${what} that run`);
    Report.set("workers-note", busy.length ? `${d3.max(work).toFixed(1)} at most, ${d3.mean(busy).toFixed(1)} on average while any runs` : "the server did not tell when they ran");
    Charts.curve(document.getElementById("workers"), data, work, {
      colour: "var(--exporting)", label: `${what} that run at the server over time`, format: (value) => value.toFixed(Number.isInteger(value) ? 0 : 1), title: (value) => `${value.toFixed(1)} ${what}`,
    });
    Report.set("bytes-note", `${Format.bytes(d3.max(series.bytes))}/s at most`);
    Charts.curve(document.getElementById("bytes"), data, series.bytes, {
      colour: "var(--transferring)", ticks: Format.byteTicks(d3.max(series.bytes) || 1), label: "Bytes a second over time", format: (value) => Format.bytes(value), title: (value) => `${Format.bytes(value)}/s`,
    });
    Draw.slowest(data, names);
  },

  /* The tasks that took longest, without their waits for other tasks. */
  slowest(data, names) {
    const {table, lines} = data;
    const long = lines.rows.map((_, line) => Lines.own(lines, line));
    const order = d3.range(lines.rows.length).filter((line) => long[line] > 0).sort((a, b) => long[b] - long[a]).slice(0, 12);
    Report.show("slow", order.length > 0);
    if (!order.length) return;
    const bars = order.flatMap((line) => {
      let end = 0;
      return Lines.bars(lines, line).filter(({phase}) => Report.OWN.includes(phase)).map((bar) => {
        const start = end;
        end += bar.length;
        return {...bar, start, began: bar.start};
      });
    });
    Charts.bars(document.getElementById("slowest"), bars, {
      rows: order, label: (line) => Lines.label(table, lines.rows[line]), names, rowHeight: Report.LINE, top: false,
      domain: [0, (d3.max(bars, (bar) => bar.start + bar.length) || 1) / 1000], ariaLabel: "The slowest tasks and their phases",
    });
  },
};

const Lines = {
  bars(lines, line) {
    const spans = lines.spans[line];
    return d3.range(0, spans.length, 3).map((at) => ({row: line, phase: spans[at], start: spans[at + 1], length: spans[at + 2]}));
  },

  /* The bars of a line, in milliseconds since its task began. */
  fromItsStart({lines, table}, line) {
    const began = table.start[lines.rows[line]];
    return Lines.bars(lines, line).map((bar) => ({...bar, start: bar.start - began, began: bar.start}));
  },

  /* Milliseconds in which a task waited for no other one. */
  own: (lines, line) => d3.sum(Lines.bars(lines, line), ({phase, length}) => (Report.OWN.includes(phase) ? length : 0)),

  label: (table, row) => `${table.id[row] || ""} ${table.name[row]}`.trim(),

  start(data, names) {
    const {lines, table} = data;
    Object.assign(Lines, {data, names, scroller: document.getElementById("scroller"), waiting: 0});
    const worked = d3.sum(data.series.done);
    Report.set("lines-note", lines.all ? Format.counted(lines.rows.length, data.head.noun) : `the slowest and the failed ones: ${Format.count(lines.rows.length)} of ${Format.counted(worked, data.head.noun)}`);
    const orders = {
      start: (a, b) => a - b,
      took: (a, b) => table.took[lines.rows[b]] - table.took[lines.rows[a]],
      failed: (a, b) => Table.failed(table, lines.rows[b]) - Table.failed(table, lines.rows[a]) || a - b,
    };
    const choice = document.getElementById("lines-order");
    Lines.choice = choice;
    const arrange = () => {
      Lines.order = d3.range(lines.rows.length).sort(orders[choice.value]);
      Lines.scroller.scrollTop = 0;
      Lines.draw();
    };
    choice.addEventListener("change", arrange);
    Lines.scroller.addEventListener("scroll", () => {
      cancelAnimationFrame(Lines.waiting);
      Lines.waiting = requestAnimationFrame(() => Lines.draw());
    });
    arrange();
  },

  /* Draw the lines that are in view; for paper, that many from the first. */
  draw(printed) {
    const {data, scroller, order} = Lines;
    if (!order.length) return;
    const room = Math.min(24, order.length);
    const most = printed || room;
    document.getElementById("runway").style.height = `${order.length * Report.LINE + 26}px`;
    Report.set("lines-cut", order.length > Report.PRINTED_LINES ? `On paper, the first ${Report.PRINTED_LINES} of ${Format.count(order.length)}.` : "");
    const first = printed ? 0 : Math.min(Math.ceil(scroller.scrollTop / Report.LINE), order.length - room);
    const rows = order.slice(first, first + most);
    // As they began, tasks in view are near each other in time. In other orders each begins at 0.
    const aligned = Lines.choice.value !== "start";
    const bars = rows.flatMap((line) => (aligned ? Lines.fromItsStart(data, line) : Lines.bars(data.lines, line)));
    const start = (aligned ? 0 : d3.min(bars, (bar) => bar.start)) / 1000;
    const end = d3.max(bars, (bar) => bar.start + bar.length) / 1000;
    const margin = Math.max((end - start) * 0.02, 0.001);
    Charts.bars(document.getElementById("waterfall"), bars, {
      rows, label: (line) => Lines.label(data.table, data.lines.rows[line]), names: Lines.names, rowHeight: Report.LINE, top: true,
      domain: [Math.max(0, start - margin), end + margin], ariaLabel: "Time line of the tasks in view",
    });
    Report.set("lines-axis", aligned ? "Times since each task began" : "Times of the run");
  },
};

const Table = {
  COLUMNS: [
    {key: "id", label: "Id", classes: ["w-id", "number"]},
    {key: "name", label: "Name", classes: ["w-name"]},
    {key: "action", label: "Result", classes: ["w-action"]},
    {key: "reason", label: "Reason", classes: ["w-reason", "wide"]},
    {key: "start", label: "Began", classes: ["w-time", "number", "wide"]},
    {key: "took", label: "Took", classes: ["w-time", "number"]},
    {key: "bytes", label: "Bytes", classes: ["w-bytes", "number", "wide"]},
    {key: "note", label: "Note", classes: ["w-note", "wide", "note"]},
  ],

  failed: (table, row) => table.words[table.action[row]] === "failed",

  start(data, names) {
    const {table} = data;
    Object.assign(Table, {data, table, names, action: null, query: "", sort: {key: null, down: false}, scroller: document.getElementById("table-scroller"), waiting: 0});
    const columns = document.getElementById("columns");
    for (const column of Table.COLUMNS) {
      const cell = Report.element("th", undefined, ...column.classes.filter((name) => name !== "note"));
      cell.scope = "col";
      const button = Report.element("button", column.label);
      button.type = "button";
      button.addEventListener("click", () => Table.sortBy(column.key));
      cell.append(button);
      cell.dataset.key = column.key;
      columns.append(cell);
    }
    Table.chips();
    const search = document.getElementById("search");
    let typing = 0;
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => { Table.query = search.value.trim().toLowerCase(); Table.filter(); }, Table.table.id.length > 5000 ? 120 : 0);
    });
    Table.scroller.addEventListener("scroll", () => {
      cancelAnimationFrame(Table.waiting);
      Table.waiting = requestAnimationFrame(() => Table.draw());
    });
    const rows = document.getElementById("rows");
    const open = (event) => { const row = event.target.closest("tr.task"); if (row) Table.details(Number(row.dataset.row)); };
    rows.addEventListener("click", open);
    rows.addEventListener("keydown", (event) => { if (event.key === "Enter") open(event); });
    Table.filter();
  },

  chips() {
    const chips = document.getElementById("chips");
    // A verification counts intact tasks, and has no row for them.
    const counts = Object.entries(Table.data.head.counts).filter(([action]) => Table.table.words.includes(action));
    Report.show("tasks", Table.table.id.length > 0 || !Table.data.head.tasks);
    for (const [action, count] of [[null, Table.table.id.length], ...(counts.length > 1 ? counts : [])]) {
      const chip = Report.element("button", `${action || "all"} ${Format.count(count)}`);
      chip.type = "button";
      chip.dataset.action = action || "";
      chip.setAttribute("aria-pressed", String(action === null));
      chip.addEventListener("click", () => {
        Table.action = action;
        for (const other of chips.children) other.setAttribute("aria-pressed", String(other === chip));
        Table.filter();
      });
      chips.append(chip);
    }
  },

  text(row) {
    const {table} = Table;
    Table.texts ||= new Array(table.id.length);
    Table.texts[row] ||= `${table.id[row]} ${table.name[row]} ${table.words[table.reason[row]]} ${table.notes[row] || ""}`.toLowerCase();
    return Table.texts[row];
  },

  /* Failed tasks stand first, then unfinished ones; those that needed nothing stand last. */
  rank(row) {
    const place = ["failed", "unfinished"].indexOf(Table.table.words[Table.table.action[row]]);
    if (place !== -1) return place;
    return Table.table.took[row] ? 2 : 3;
  },

  filter() {
    const {table, action, query} = Table;
    const wanted = action === null ? -1 : table.words.indexOf(action);
    const found = [];
    for (let row = 0; row < table.id.length; row += 1) {
      if (wanted !== -1 && table.action[row] !== wanted) continue;
      if (query && !Table.text(row).includes(query)) continue;
      found.push(row);
    }
    if (!Table.sort.key) found.sort((a, b) => Table.rank(a) - Table.rank(b) || a - b);
    Table.order = found;
    const whole = Format.counted(table.id.length, Table.data.head.noun);
    Report.set("shown", found.length === table.id.length ? whole : `${Format.count(found.length)} of ${whole}`);
    Table.arrange();
  },

  sortBy(key) {
    const {sort} = Table;
    const numbers = ["took", "bytes"].includes(key);
    Table.sort = sort.key === key ? {key, down: !sort.down} : {key, down: numbers};
    for (const cell of document.getElementById("columns").children) {
      if (cell.dataset.key === key) cell.setAttribute("aria-sort", Table.sort.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    Table.filter();
  },

  arrange() {
    const {table, sort, order} = Table;
    if (sort.key) {
      const collator = new Intl.Collator("en", {numeric: true});
      const texts = {name: (row) => table.name[row], action: (row) => table.words[table.action[row]], reason: (row) => table.words[table.reason[row]], note: (row) => table.notes[row] || ""};
      const text = texts[sort.key];
      const rise = text ? (a, b) => collator.compare(text(a), text(b)) : (a, b) => table[sort.key][a] - table[sort.key][b];
      order.sort(sort.down ? (a, b) => rise(b, a) || a - b : (a, b) => rise(a, b) || a - b);
    }
    Table.scroller.scrollTop = 0;
    Table.draw();
  },

  /* Draw the rows that are in view; for paper, that many from the first. */
  draw(printed) {
    const {order, scroller} = Table;
    const most = printed || Math.ceil(scroller.clientHeight / Report.ROW) + 12;
    const first = printed ? 0 : Math.max(0, Math.min(Math.floor(scroller.scrollTop / Report.ROW) - 6, order.length - most));
    const last = Math.min(order.length, first + Math.max(most, 24));
    const rows = [];
    for (let place = first; place < last; place += 1) rows.push(Table.row(order[place], place));
    if (!printed) {
      rows.unshift(Table.gap(first));
      rows.push(Table.gap(order.length - last));
    }
    if (!order.length) {
      const none = Report.element("td", "No task matches.", "quiet");
      none.colSpan = Charts.narrow() ? 4 : Table.COLUMNS.length;
      const row = Report.element("tr");
      row.append(none);
      rows.push(row);
    }
    document.getElementById("table").setAttribute("aria-rowcount", String(order.length + 1));
    document.getElementById("rows").replaceChildren(...rows);
    Report.set("cut", order.length > Report.PRINTED ? `On paper, the first ${Format.count(Report.PRINTED)} of ${Format.count(order.length)}.` : "");
  },

  gap(count) {
    const row = Report.element("tr", undefined, "gap");
    const cell = Report.element("td");
    cell.style.height = `${count * Report.ROW}px`;
    row.setAttribute("aria-hidden", "true");
    row.append(cell);
    return row;
  },

  cells(row) {
    const {table} = Table;
    return {
      id: table.id[row] ? String(table.id[row]) : "",
      name: table.name[row],
      action: table.words[table.action[row]],
      reason: table.words[table.reason[row]],
      start: Format.seconds(table.start[row] / 1000),
      took: table.took[row] ? Format.seconds(table.took[row] / 1000) : "",
      bytes: table.bytes[row] ? Format.bytes(table.bytes[row]) : "",
      note: table.notes[row] || "",
    };
  },

  row(row, place) {
    const cells = Table.cells(row);
    const made = Report.element("tr", undefined, "task", cells.action.split(" ")[0]);
    made.dataset.row = String(row);
    made.tabIndex = 0;
    made.setAttribute("aria-rowindex", String(place + 2));
    for (const {key, classes} of Table.COLUMNS) {
      const cell = Report.element("td", cells[key], ...classes, key);
      made.append(cell);
    }
    return made;
  },

  details(row) {
    const {table, data} = Table;
    const cells = Table.cells(row);
    Report.set("details-title", `${table.words[table.target[row]]} ${cells.id} ${cells.name}`);
    const list = document.getElementById("details-list");
    const facts = [["Result", cells.action], ["Reason", cells.reason], ["Began", `${cells.start} after the start`], ["Took", cells.took], ["Bytes", cells.bytes], ["Retries", table.retries[row] ? String(table.retries[row]) : ""], ["Step", table.step && table.step[row] ? String(table.step[row]) : ""], ["Note", cells.note]];
    const line = data.lines.rows.indexOf(row);
    if (line !== -1) facts.push(["Phases", Lines.bars(data.lines, line).map((bar) => `${Table.names[bar.phase]} ${Format.seconds(bar.length / 1000)}`).join(", ")]);
    list.replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [Report.element("dt", name), Report.element("dd", value)]));
    document.getElementById("details").showModal();
  },
};

Report.start().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `This page cannot be shown: ${error.message}. Open it in a newer browser.`;
  problem.hidden = false;
});
