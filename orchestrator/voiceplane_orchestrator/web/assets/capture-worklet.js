// @ts-check
/** The microphone on the audio thread: 20 ms chunks. */

const CHUNK_SAMPLES = 960;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._chunk = new Float32Array(CHUNK_SAMPLES);
    this._filled = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    for (const value of inputs[0][0] ?? []) {
      this._chunk[this._filled++] = value;
      if (this._filled < CHUNK_SAMPLES) continue;
      this.port.postMessage(this._chunk, [this._chunk.buffer]);
      this._chunk = new Float32Array(CHUNK_SAMPLES);
      this._filled = 0;
    }
    return true;
  }
}

registerProcessor("voiceplane-capture", Capture);
