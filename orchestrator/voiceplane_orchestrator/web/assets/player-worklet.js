// @ts-check
/** The player on the audio thread: queue to sound, and reports of what was played. */

import { PlayerQueue } from "./player-queue.js";

const REPORT_SAMPLES = 2400; // 50 ms; the protocol asks for 100 ms or less

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this._queue = new PlayerQueue();
    this._sinceReport = 0;
    this._peak = 0;
    this._wasRunning = false;
    this.port.onmessage = ({ data }) => this._command(data);
  }

  /** @param {{name: string, frame?: any, epoch?: number}} command */
  _command({ name, frame, epoch = 0 }) {
    if (name === "frame" && this._queue.push(frame)) return;
    if (name === "pause") this._queue.pause();
    if (name === "resume") this._queue.resume();
    if (name === "stop") this._queue.stop(epoch);
    if (name === "reset") this._queue.reset(epoch);
    this._report();
  }

  /** @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, outputs) {
    const output = outputs[0][0];
    const ended = this._queue.pull(output);
    for (const value of output) this._peak = Math.max(this._peak, Math.abs(value));
    const running = this._queue.running;
    this._sinceReport += output.length;
    const isDue = running && this._sinceReport >= REPORT_SAMPLES;
    if (isDue || ended || running !== this._wasRunning) this._report();
    this._wasRunning = running;
    return true;
  }

  _report() {
    const { cursor, underruns, dropped, played, bufferedSamples, running } = this._queue;
    this.port.postMessage({ cursor, underruns, dropped, played, bufferedSamples, running, peak: this._peak });
    this._sinceReport = 0;
    this._peak = 0;
  }
}

registerProcessor("voiceplane-player", Player);
