// @ts-check
/** Latency read-outs: the last value and the median. */

export const FIELDS = ["first_audio_ms", "barge_in_ms", "asr_ms"];

/** @param {number[]} values not empty */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export class Latency {
  /** @param {HTMLElement} root holds one element with data-latency for each field */
  constructor(root) {
    this._root = root;
    /** @type {Map<string, number[]>} */
    this._values = new Map(FIELDS.map((field) => [field, []]));
  }

  /** @param {{[field: string]: any}} event */
  add(event) {
    for (const [field, values] of this._values) {
      if (typeof event[field] !== "number") continue;
      values.push(event[field]);
      const item = this._root.querySelector(`[data-latency="${field}"]`);
      if (!item) continue;
      /** @type {HTMLElement} */ (item.querySelector(".last")).textContent = `${Math.round(event[field])} ms`;
      /** @type {HTMLElement} */ (item.querySelector(".median")).textContent =
        `median ${Math.round(median(values))} ms of ${values.length}`;
    }
  }
}
