// @ts-check
/** What is played next, exact to the sample: pure, so that it is tested without a sound card. */

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {{utterance: number, mediaTimeSamples: number}} Cursor the samples before it were played */

const START_SAMPLES = 2400; // 50 ms: rides out the network's jitter, and is not heard as a delay
const FADE_SAMPLES = 144; // 3 ms: too short to hear as a fade, long enough not to click

export class PlayerQueue {
  constructor() {
    this.epoch = 0;
    this.paused = false;
    this.underruns = 0;
    this.dropped = 0;
    this.played = 0;
    /** @type {Cursor | null} */
    this.cursor = null;
    /** @type {{frame: Frame, at: number}[]} */
    this._frames = [];
    this._buffered = 0;
    this._running = false;
    this._fadeIn = FADE_SAMPLES; // samples of the fade-in that are done
    this._tail = new Float32Array(0); // a fade-out: copies of samples that stay in the queue
  }

  get bufferedSamples() {
    return this._buffered;
  }

  get running() {
    return this._running && !this.paused;
  }

  /** @param {Frame} frame @returns {boolean} false: it is of an older epoch, and was dropped */
  push(frame) {
    if (frame.epoch < this.epoch) {
      this.dropped += 1;
      return false;
    }
    if (frame.epoch > this.epoch) this.stop(frame.epoch);
    this._frames.push({ frame, at: 0 });
    this._buffered += frame.samples.length;
    if (frame.end || this._buffered >= START_SAMPLES) this._running = true;
    return true;
  }

  /** Silent from the next pull on, but for the fade; nothing is lost. */
  pause() {
    if (this.paused) return;
    this._fadeOut();
    this.paused = true;
  }

  /** Go on at the sample after the last one played. */
  resume() {
    if (!this.paused) return;
    this.paused = false;
    this._fadeIn = 0;
  }

  /**
   * Forget what is buffered, and from now on what is older than this epoch.
   * @param {number} epoch
   */
  stop(epoch) {
    if (epoch < this.epoch) return;
    if (!this.paused) this._fadeOut();
    this.epoch = Math.max(this.epoch, epoch);
    this._frames = [];
    this._buffered = 0;
    this._running = false;
    this.paused = false;
    this._fadeIn = FADE_SAMPLES;
  }

  /** Back to the state before the first frame: another session begins. @param {number} epoch */
  reset(epoch) {
    this.stop(this.epoch);
    this.epoch = epoch;
    this.cursor = null;
  }

  /**
   * Fill the output.
   * @param {Float32Array} output
   * @returns {boolean} an utterance's last sample was played
   */
  pull(output) {
    output.fill(0);
    const ended = this._running && !this.paused && this._play(output);
    const tail = Math.min(this._tail.length, output.length);
    for (let at = 0; at < tail; at++) output[at] += this._tail[at];
    this._tail = this._tail.subarray(tail);
    return ended;
  }

  /** @param {Float32Array} output */
  _play(output) {
    let ended = false;
    let filled = 0;
    while (this._frames.length > 0) {
      const head = this._frames[0];
      const { samples, utterance, mediaTimeSamples, end } = head.frame;
      const count = Math.min(output.length - filled, samples.length - head.at);
      for (let at = 0; at < count; at++) {
        const gain = this._fadeIn < FADE_SAMPLES ? this._fadeIn++ / FADE_SAMPLES : 1;
        output[filled++] = samples[head.at++] * gain;
      }
      this.cursor = { utterance, mediaTimeSamples: mediaTimeSamples + head.at };
      if (head.at < samples.length) break;
      this._frames.shift();
      if (end) {
        ended = true;
        if (this._frames.length === 0) this._running = false;
      }
      if (filled === output.length && !this._isEmptyEnd()) break;
    }
    this._buffered -= filled;
    this.played += filled;
    if (filled < output.length && this._running) {
      this.underruns += 1;
      this._running = false;
    }
    return ended;
  }

  /** A last frame without samples ends its utterance now, not a quantum later. */
  _isEmptyEnd() {
    return this._frames.length > 0 && this._frames[0].frame.samples.length === 0;
  }

  _fadeOut() {
    const tail = new Float32Array(FADE_SAMPLES);
    let filled = 0;
    if (this._running) {
      for (const { frame, at } of this._frames) {
        for (let from = at; from < frame.samples.length && filled < FADE_SAMPLES; from++) {
          tail[filled] = frame.samples[from] * (1 - filled / FADE_SAMPLES);
          filled++;
        }
        if (filled === FADE_SAMPLES) break;
      }
    }
    this._tail = tail.subarray(0, filled);
  }
}
