// @ts-check
/** The microphone: chunks of 20 ms, 48 kHz mono. */

const REMEDIES = {
  NotAllowedError: "The microphone is blocked. Allow it for this page in the browser's address bar, then talk again.",
  NotFoundError: "There is no microphone. Connect one, then talk again; the text box works without.",
  OverconstrainedError: "The chosen microphone is not connected. Choose another one, then talk again.",
  NotReadableError: "Another program holds the microphone. Close it, then talk again.",
};

/** @typedef {{deviceId: string, echoCancellation: boolean}} Input an empty id: the browser's choice */

export class Microphone {
  /**
   * @param {AudioContext} context
   * @param {Input} input
   * @param {(samples: Float32Array) => void} onChunk
   */
  static async open(context, { deviceId, echoCancellation }, onChunk) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the microphone to secure pages only: open this page by https or as localhost.");
    }
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    const wanted = deviceId ? { deviceId: { exact: deviceId } } : {};
    const audio = { echoCancellation, noiseSuppression: true, autoGainControl: true, channelCount: 1, ...wanted };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio });
      return new Microphone(context, stream, onChunk);
    } catch (error) {
      const { name, message } = /** @type {DOMException} */ (error);
      throw new Error(REMEDIES[/** @type {keyof REMEDIES} */ (name)] ?? `The microphone cannot be used: ${message}`);
    }
  }

  /** @param {AudioContext} context @param {MediaStream} stream @param {(samples: Float32Array) => void} onChunk */
  constructor(context, stream, onChunk) {
    this._stream = stream;
    this._source = context.createMediaStreamSource(stream);
    this._node = new AudioWorkletNode(context, "voiceplane-capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this._node.port.onmessage = ({ data }) => onChunk(data);
    this._source.connect(this._node);
  }

  /** What is heard, for a transport that carries tracks. */
  get track() {
    return this._stream.getAudioTracks()[0];
  }

  /** Muted, it goes on as silence: the server still hears that the turn ended. @param {boolean} muted */
  mute(muted) {
    for (const track of this._stream.getTracks()) track.enabled = !muted;
  }

  close() {
    this._source.disconnect();
    for (const track of this._stream.getTracks()) track.stop();
  }
}
