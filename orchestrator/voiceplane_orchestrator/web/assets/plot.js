// @ts-check
/** A small plot: bars for turns, a line for time. SVG, so that it follows the page's colours and sizes. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 28;
const BAR_SHARE = 0.7; // of the place of a bar; the rest is the gap
const LEAST_BAR = 1.5; // a zero is seen, too

/**
 * @param {number[]} values
 * @param {number} places how many there are room for; the newest is on the right
 * @returns {{x: number, y: number, width: number, height: number}[]}
 */
export function bars(values, places) {
  const step = WIDTH / places;
  const highest = Math.max(...values, 0) || 1;
  return values.map((value, at) => {
    const height = Math.max(LEAST_BAR, (value / highest) * HEIGHT);
    return { x: (places - values.length + at) * step, y: HEIGHT - height, width: step * BAR_SHARE, height };
  });
}

/**
 * @param {{at: number, value: number}[]} points times in ms, rising
 * @param {number} spanMs how much time there is room for; the newest is on the right
 * @returns {string} the points of a polyline
 */
export function line(points, spanMs) {
  const newest = points.at(-1)?.at ?? 0;
  const highest = Math.max(...points.map(({ value }) => value), 0) || 1;
  return points
    .map(({ at, value }) => {
      const x = WIDTH * (1 - (newest - at) / spanMs);
      const y = HEIGHT - 1 - (value / highest) * (HEIGHT - 2);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

export class Plot {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this._root = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this._root.setAttribute("aria-label", "nothing measured yet");
    this._drawn = shape("g", {});
    this._root.append(shape("path", { d: `M0 ${HEIGHT - 0.5}H${WIDTH}`, class: "ground" }), this._drawn);
    parent.append(this._root);
  }

  /** @param {number[]} values @param {number} places @param {string} text the same in words */
  drawBars(values, places, text) {
    this._draw(text, ...bars(values, places).map((bar) => shape("rect", { ...bar, class: "value" })));
  }

  /** @param {{at: number, value: number}[]} points @param {number} spanMs @param {string} text the same in words */
  drawLine(points, spanMs, text) {
    this._draw(text, shape("polyline", { points: line(points, spanMs), class: "value" }));
  }

  /** @param {string} text @param {Element[]} shapes */
  _draw(text, ...shapes) {
    this._root.setAttribute("aria-label", text);
    this._drawn.replaceChildren(...shapes);
  }
}
