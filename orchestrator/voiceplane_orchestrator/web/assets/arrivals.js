// @ts-check
/** How evenly frames arrive over a WebSocket, which hides lost packets as lateness: pure. */

const SAMPLES_PER_MS = 48;
const SMOOTHING = 16; // as in RFC 3550

export class Arrivals {
  constructor() {
    /** The average lateness of a frame after the one before it. What is early is none: the server sends ahead on purpose. */
    this.jitterMs = 0;
    this._utterance = 0;
    this._mediaTimeSamples = 0;
    this._atMs = NaN;
  }

  /** @param {{utterance: number, mediaTimeSamples: number}} frame @param {number} atMs */
  note({ utterance, mediaTimeSamples }, atMs) {
    const expectedMs = (mediaTimeSamples - this._mediaTimeSamples) / SAMPLES_PER_MS;
    const lateMs = Math.max(0, atMs - this._atMs - expectedMs);
    if (utterance === this._utterance && !Number.isNaN(lateMs)) this.jitterMs += (lateMs - this.jitterMs) / SMOOTHING;
    this._utterance = utterance;
    this._mediaTimeSamples = mediaTimeSamples;
    this._atMs = atMs;
  }

  /** The server holds the speech on purpose: the next frame is not late. */
  restart() {
    this._atMs = NaN;
  }
}
