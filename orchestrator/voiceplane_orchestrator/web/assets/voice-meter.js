// @ts-check
/** How loud the agent's track is, several times a second. The track itself is played by an audio element. */

const EVERY_MS = 50;

export class VoiceMeter {
  /** @param {(peak: number) => void} onPeak 0 to 1 */
  constructor(onPeak) {
    this._onPeak = onPeak;
    /** @type {MediaStreamAudioSourceNode | null} */
    this._source = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._timer = undefined;
  }

  /** @param {AudioContext} context @param {MediaStreamTrack | null} track null: nothing any more */
  follow(context, track) {
    clearInterval(this._timer);
    this._source?.disconnect();
    this._source = null;
    this._onPeak(0);
    if (!track) return;
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    this._source = context.createMediaStreamSource(new MediaStream([track]));
    this._source.connect(analyser);
    const samples = new Float32Array(Math.round((context.sampleRate * EVERY_MS) / 1000));
    this._timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this._onPeak(samples.reduce((loudest, value) => Math.max(loudest, Math.abs(value)), 0));
    }, EVERY_MS);
  }
}
