"use strict";
/* The charts, by Observable Plot. Colours are those of the style sheet, light or dark. */
const Charts = {
  COLOURS: ["--server", "--waiting", "--exporting", "--transferring", "--committing", "--retrying"].map((name) => `var(${name})`),

  /* From the ground up in the chart of phases. */
  STACK: [4, 3, 2, 0, 1, 5],

  /* Put a chart into an element. Plot's own style element would break the policy; page.css has it. */
  put(element, options) {
    const width = Math.max(240, Math.floor(element.clientWidth));
    const chart = Plot.plot({...options, width, className: "chart"});
    for (const style of chart.querySelectorAll("style")) style.remove();
    if (options.ariaLabel) chart.setAttribute("role", "img");
    element.replaceChildren(chart);
  },

  narrow: () => window.innerWidth <= 640,

  base(seconds, rest) {
    return {
      marginLeft: 66,
      marginRight: 14,
      marginTop: 10,
      marginBottom: 24,
      x: {domain: [0, seconds], label: null, tickFormat: Format.tick([0, seconds]), ticks: Format.ticks([0, seconds], Charts.narrow() ? 5 : 10), tickSize: 3},
      ...rest,
    };
  },

  pauses: (pauses) =>
    Plot.rect(pauses, {x1: (pause) => pause[0] / 1000, x2: (pause) => pause[1] / 1000, fill: "var(--pause)", title: (pause) => `${pause[2]}: ${Format.seconds((pause[1] - pause[0]) / 1000)}`}),

  /* A line under the pointer, with what `title` says of its bin. */
  pointer: (bins, width, title) => [
    Plot.ruleX(bins, Plot.pointerX({x: (bin) => (bin + 0.5) * width, stroke: "var(--soft)", strokeDasharray: "2,3"})),
    Plot.tip(bins, Plot.pointerX({x: (bin) => (bin + 0.5) * width, frameAnchor: "top", title, fontSize: 12})),
  ],

  phases(element, data, names) {
    const {width, phases} = data.series;
    const bins = d3.range(data.series.done.length);
    const known = Charts.STACK.filter((phase) => phases[Report.PHASES[phase]]);
    const points = known.flatMap((phase) => bins.map((bin) => ({bin, phase, tasks: phases[Report.PHASES[phase]][bin]})));
    Charts.put(element, Charts.base(width * bins.length, {
      height: 190,
      ariaLabel: "Tasks in each phase over the time of the run",
      y: {label: null, grid: true, ticks: 4, tickSize: 0},
      color: {type: "ordinal", domain: d3.range(6), range: Charts.COLOURS},
      marks: [
        Charts.pauses(data.pauses),
        Plot.areaY(points, {x: (point) => (point.bin + 0.5) * width, y: "tasks", fill: "phase", z: "phase", order: known, curve: "monotone-x"}),
        Plot.ruleY([0], {stroke: "var(--line)"}),
        ...Charts.pointer(bins, width, (bin) =>
          [Format.seconds((bin + 0.5) * width), ...[...known].reverse().map((phase) => `${names[phase]} ${phases[Report.PHASES[phase]][bin].toFixed(1)}`)].join("\n")),
      ],
    }));
  },

  curve(element, data, values, {colour, label, format, title, ticks = 3}) {
    const {width} = data.series;
    const bins = d3.range(values.length);
    Charts.put(element, Charts.base(width * values.length, {
      height: 120,
      ariaLabel: label,
      y: {label: null, grid: true, ticks, tickSize: 0, tickFormat: format, domain: [0, Math.max(d3.max(values) || 0, 1, ...(ticks.length ? ticks : []))]},
      marks: [
        Charts.pauses(data.pauses),
        Plot.areaY(bins, {x: (bin) => (bin + 0.5) * width, y: (bin) => values[bin], fill: colour, fillOpacity: 0.3, curve: "step"}),
        Plot.lineY(bins, {x: (bin) => (bin + 0.5) * width, y: (bin) => values[bin], stroke: colour, strokeWidth: 1.5, curve: "step"}),
        Plot.ruleY([0], {stroke: "var(--line)"}),
        ...Charts.pointer(bins, width, (bin) => `${Format.seconds((bin + 0.5) * width)}\n${title(values[bin])}`),
      ],
    }));
  },

  /* Bars of tasks, a row each. Each bar has row, phase, start and length in milliseconds, and, if it is drawn elsewhere, when it began. */
  bars(element, bars, {rows, label, names, domain, rowHeight, top, ariaLabel}) {
    const margin = Charts.narrow() ? 104 : 220;
    Charts.put(element, {
      marginLeft: margin,
      marginRight: 16,
      marginTop: top ? 24 : 6,
      marginBottom: top ? 2 : 24,
      height: rows.length * rowHeight + (top ? 26 : 30),
      ariaLabel,
      x: {domain, label: null, axis: top ? "top" : "bottom", grid: true, ticks: Format.ticks(domain, Charts.narrow() ? 4 : 9), tickSize: 3, tickFormat: Format.tick(domain)},
      y: {type: "band", domain: rows, label: null, tickSize: 0, tickFormat: (row) => Charts.cut(label(row), Charts.narrow() ? 15 : 34), padding: 0.25},
      color: {type: "ordinal", domain: d3.range(6), range: Charts.COLOURS},
      marks: [
        Plot.barX(bars, {
          x1: (bar) => bar.start / 1000,
          x2: (bar) => (bar.start + bar.length) / 1000,
          y: "row",
          fill: "phase",
          rx: 1.5,
          title: (bar) => `${label(bar.row)}\n${names[bar.phase]}: ${Format.seconds(bar.length / 1000)}\nfrom ${Format.seconds(Charts.began(bar) / 1000)} to ${Format.seconds((Charts.began(bar) + bar.length) / 1000)} of the run`,
          tip: true,
        }),
      ],
    });
  },

  began: (bar) => bar.began ?? bar.start,

  cut: (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text),
};
