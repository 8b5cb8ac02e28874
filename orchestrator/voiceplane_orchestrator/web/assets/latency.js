// @ts-check
/** What is measured: the last value, the median, and a plot of the last turns or of the last minute. */

import { Plot } from "./plot.js";

const TURNS = 12;
const MINUTE_MS = 60_000;

/**
 * @typedef {object} Measure
 * @property {string} name its field in events
 * @property {string} label
 * @property {"ms" | "%"} unit
 * @property {"turns" | "minute"} over what is kept of it
 */

/** @type {Measure[]} */
export const MEASURES = [
  { name: "first_audio_ms", label: "First audio", unit: "ms", over: "turns" },
  { name: "barge_in_ms", label: "Barge-in", unit: "ms", over: "turns" },
  { name: "asr_ms", label: "Recognition", unit: "ms", over: "turns" },
  { name: "jitter_ms", label: "Jitter", unit: "ms", over: "minute" },
  { name: "loss_percent", label: "Packet loss", unit: "%", over: "minute" },
  { name: "round_trip_ms", label: "Round trip", unit: "ms", over: "minute" },
];

/** @param {number[]} values not empty */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {number} value @param {string} unit */
export function figure(value, unit) {
  return unit === "%" ? `${value.toFixed(1)}%` : `${Math.round(value)} ms`;
}

/**
 * What a plot shows, in words.
 * @param {Measure} measure
 * @param {number[]} values not empty
 */
export function inWords({ label, unit, over }, values) {
  if (over === "turns") return `${label}, the last ${values.length}: ${values.map((value) => figure(value, unit)).join(", ")}`;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${label}, the last minute: ${figure(least, unit)} to ${figure(most, unit)}, now ${figure(values[values.length - 1], unit)}`;
}

/** One line of the panel. */
class Row {
  /** @param {HTMLElement} list @param {Measure} measure */
  constructor(list, measure) {
    this.measure = measure;
    /** @type {{at: number, value: number}[]} */
    this._points = [];
    const [row, term, value, plot, more] = ["div", "dt", "dd", "dd", "dd"].map((name) => document.createElement(name));
    row.dataset.latency = measure.name;
    term.textContent = measure.label;
    plot.className = "plot";
    this._last = document.createElement("b");
    this._last.className = "last";
    this._last.textContent = "–";
    this._small = document.createElement("small");
    value.append(this._last);
    more.append(this._small);
    row.append(term, value, plot, more);
    list.append(row);
    this._plot = new Plot(plot);
  }

  /** @param {number} value @param {number} at ms */
  add(value, at) {
    const { unit, over } = this.measure;
    this._points.push({ at, value });
    this._points = over === "turns" ? this._points.slice(-TURNS) : this._points.filter((point) => at - point.at <= MINUTE_MS);
    const values = this._points.map((point) => point.value);
    this._last.textContent = figure(value, unit);
    this._small.textContent = `median ${figure(median(values), unit)}`;
    if (over === "turns") this._plot.drawBars(values, TURNS, inWords(this.measure, values));
    else this._plot.drawLine(this._points, MINUTE_MS, inWords(this.measure, values));
  }

  /** @param {string} text why there is no value */
  explain(text) {
    this._small.textContent = text;
  }
}

export class Latency {
  /** @param {HTMLElement} list a dl */
  constructor(list) {
    this._rows = MEASURES.map((measure) => new Row(list, measure));
  }

  /** @param {{[field: string]: any}} values some of the measures */
  add(values) {
    for (const row of this._rows) {
      const value = values[row.measure.name];
      if (typeof value === "number") row.add(value, performance.now());
    }
  }

  /** @param {string} name @param {string} text why a measure has no value */
  explain(name, text) {
    this._rows.find(({ measure }) => measure.name === name)?.explain(text);
  }
}
