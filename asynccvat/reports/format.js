"use strict";
/* Numbers and times as the command line writes them. */
const Format = {
  count: (value) => value.toLocaleString("en-US"),

  counted(value, noun) {
    return `${Format.count(value)} ${noun}${value === 1 ? "" : "s"}`;
  },

  seconds(value) {
    if (value < 10) return `${value.toFixed(value < 0.095 ? 2 : 1)} s`;
    const whole = Math.round(value);
    if (whole < 60) return `${whole} s`;
    return Format.clock(whole);
  },

  clock(value) {
    const whole = Math.round(value);
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    const two = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  },

  /* A tick of an axis with that domain, in seconds. */
  tick([start, end]) {
    if (end < 60) return (value) => `${Number(value.toFixed(2))} s`;
    return end - start < 3 ? (value) => `${Format.clock(Math.floor(value))}.${Math.round((value % 1) * 10)}` : Format.clock;
  },

  /* Round times within a domain, about that many. */
  ticks([start, end], count) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
    const length = end - start;
    if (length < 0.1 * count) return d3.ticks(start, end, count);
    const step = steps.find((known) => length / known <= count) || Math.ceil(length / count / 86400) * 86400;
    return d3.range(Math.ceil(start / step) * step, end + step * 1e-6, step);
  },

  bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    return `${unit === 0 || value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
  },

  /* Ticks of an axis of bytes: few, and round in the unit that they are written in. */
  byteTicks(most) {
    const unit = 1024 ** Math.floor(Math.log(Math.max(most, 1)) / Math.log(1024));
    const step = d3.tickStep(0, most / unit, 2);
    return d3.range(0, most / unit + step, step).map((value) => value * unit);
  },

  share(part, whole) {
    const percent = whole ? (100 * part) / whole : 0;
    return percent > 0 && percent < 1 ? "< 1 %" : `${Math.round(percent)} %`;
  },
};
