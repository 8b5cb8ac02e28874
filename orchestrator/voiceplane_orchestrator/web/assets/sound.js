// @ts-check
/** All that sounds here: the microphone, the player of frames, the meter of a track. */

import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { SAMPLE_RATE_HZ } from "./protocol.js";
import { VoiceMeter } from "./voice-meter.js";

/**
 * @typedef {object} SoundHandlers
 * @property {(report: import("./player.js").PlayerReport) => void} onPlayed
 * @property {(samples: Float32Array) => void} onChunk 20 ms of the microphone
 * @property {(peak: number) => void} onVoice how loud the agent's track is, 0 to 1
 * @property {() => void} onLost the microphone has gone
 * @property {(problem: Error) => void} onProblem something does not work as it was chosen, and the rest does
 */

export class Sound {
  /** @param {SoundHandlers} handlers */
  constructor(handlers) {
    this._handlers = handlers;
    this._meter = new VoiceMeter(handlers.onVoice);
    /** @type {AudioContext | null} */
    this._context = null;
    /** @type {Player | null} */
    this.player = null;
    /** @type {Microphone | null} */
    this._microphone = null;
    this._speaker = "";
    this._muted = false;
    this._opening = Promise.resolve();
  }

  /** Whether the microphone is open. */
  get talking() {
    return this._microphone !== null;
  }

  get muted() {
    return this._muted;
  }

  /** A browser lets sound begin in answer to a gesture only, so call it then. */
  async start() {
    this._context ??= new AudioContext({ sampleRate: SAMPLE_RATE_HZ, latencyHint: "interactive" });
    await this._context.resume();
    await this._route().catch(this._handlers.onProblem);
    this.player ??= await Player.create(this._context, this._handlers.onPlayed);
    return this._context;
  }

  /**
   * Open the microphone, or another one in its place; one after another if it is called again meanwhile.
   * @param {import("./microphone.js").Input} input
   * @returns {Promise<MediaStreamTrack>} what is heard
   */
  listen(input) {
    const opening = this._opening.then(() => this._listen(input));
    this._opening = opening.then(
      () => undefined,
      () => undefined,
    );
    return opening;
  }

  /** Close the microphone. */
  hush() {
    this._microphone?.close();
    this._microphone = null;
  }

  /** @param {boolean} muted */
  mute(muted) {
    this._muted = muted;
    this._microphone?.mute(muted);
  }

  /** @param {MediaStreamTrack | null} track the agent's voice */
  follow(track) {
    if (this._context) this._meter.follow(this._context, track);
  }

  /** @param {string} deviceId the loudspeaker; empty: the browser's choice */
  async playThrough(deviceId) {
    this._speaker = deviceId;
    await this._route();
  }

  /** @param {import("./microphone.js").Input} input */
  async _listen(input) {
    const microphone = await Microphone.open(await this.start(), input, this._handlers.onChunk);
    this.hush();
    this._microphone = microphone;
    microphone.mute(this._muted);
    microphone.track.onended = () => {
      if (this._microphone === microphone) this._handlers.onLost();
    };
    return microphone.track;
  }

  async _route() {
    const context = /** @type {any} */ (this._context); // the loudspeaker is chosen where there is setSinkId
    if (!context || this._speaker === (context.sinkId ?? "")) return;
    try {
      await context.setSinkId(this._speaker);
    } catch (error) {
      throw new Error(`The loudspeaker cannot be used: ${/** @type {Error} */ (error).message}. Choose another one.`);
    }
  }
}
