// @ts-check
/** Reply audio to the loudspeaker. */

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./player-queue.js").Cursor} Cursor */
/**
 * @typedef {object} PlayerReport
 * @property {Cursor | null} cursor
 * @property {number} underruns
 * @property {number} dropped frames of older epochs
 * @property {number} played samples
 * @property {number} bufferedSamples
 * @property {boolean} running
 * @property {number} peak since the last report, 0 to 1
 */

export class Player {
  /** @param {AudioContext} context @param {(report: PlayerReport) => void} onReport */
  static async create(context, onReport) {
    await context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    return new Player(context, onReport);
  }

  /** @param {AudioContext} context @param {(report: PlayerReport) => void} onReport */
  constructor(context, onReport) {
    this._node = new AudioWorkletNode(context, "voiceplane-player", { numberOfInputs: 0, outputChannelCount: [1] });
    this._node.port.onmessage = ({ data }) => onReport(data);
    this._node.connect(context.destination);
  }

  /** @param {Frame} frame */
  push(frame) {
    this._node.port.postMessage({ name: "frame", frame }, [frame.samples.buffer]);
  }

  pause() {
    this._node.port.postMessage({ name: "pause" });
  }

  resume() {
    this._node.port.postMessage({ name: "resume" });
  }

  /** @param {number} epoch */
  stop(epoch) {
    this._node.port.postMessage({ name: "stop", epoch });
  }

  /** @param {number} epoch */
  reset(epoch) {
    this._node.port.postMessage({ name: "reset", epoch });
  }
}
