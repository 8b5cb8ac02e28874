// @ts-check
/** The wire format of docs/reference/websocket.md: pure, no I/O. */

export const SUBPROTOCOL = "voiceplane.v1";
export const SAMPLE_RATE_HZ = 48000;
const HEADER_BYTES = 24;
const FRAME_SAMPLES = 960;
const REPLY_AUDIO = 1;

/**
 * One frame of reply audio.
 * @typedef {object} Frame
 * @property {number} epoch
 * @property {number} utterance
 * @property {number} mediaTimeSamples where it begins in its utterance
 * @property {boolean} end the last one of its utterance
 * @property {Float32Array} samples the valid ones, -1 to 1, 48 kHz mono
 */

/**
 * @param {ArrayBuffer} data a binary message
 * @returns {Frame | null} null: a kind that this version does not know
 */
export function decodeFrame(data) {
  if (data.byteLength < HEADER_BYTES) throw new Error(`a frame of ${data.byteLength} bytes has no header`);
  const view = new DataView(data);
  if (view.getUint8(0) !== 1) throw new Error(`frame version ${view.getUint8(0)} is not 1`);
  if (view.getUint8(1) !== REPLY_AUDIO) return null;
  const valid = view.getUint16(20, true);
  if (valid > FRAME_SAMPLES || data.byteLength < HEADER_BYTES + 2 * valid) {
    throw new Error(`a frame of ${data.byteLength} bytes cannot hold ${valid} samples`);
  }
  const samples = new Float32Array(valid);
  for (let at = 0; at < valid; at++) samples[at] = view.getInt16(HEADER_BYTES + 2 * at, true) / 32768;
  return {
    end: (view.getUint16(2, true) & 1) === 1,
    epoch: view.getUint32(4, true),
    utterance: view.getUint32(8, true),
    mediaTimeSamples: Number(view.getBigUint64(12, true)),
    samples,
  };
}

/** What the page relies on in the events that it knows. @type {Record<string, Record<string, "string" | "number">>} */
const FIELDS = {
  ready: { epoch: "number" },
  state: { state: "string" },
  partial: { turn: "number", text: "string" },
  transcript: { role: "string", text: "string" },
  reply: { utterance: "number", text: "string" },
  utterance: { utterance: "number" },
  stop: { epoch: "number" },
  selected: { model: "string", voice: "string" },
  rerouted: { reason: "string" },
  error: { message: "string" },
};

/** @typedef {{type: string, [field: string]: any}} ServerEvent */

/**
 * @param {string} text a text message
 * @returns {ServerEvent}
 */
export function decodeEvent(text) {
  const event = JSON.parse(text);
  if (event === null || typeof event !== "object" || typeof event.type !== "string") {
    throw new Error("an event is an object with a type");
  }
  for (const [field, type] of Object.entries(FIELDS[event.type] ?? {})) {
    if (typeof event[field] !== type) throw new Error(`${event.type} needs ${field}, a ${type}`);
  }
  return event;
}

/** What is shown for a message that cannot be read. @param {unknown} problem @returns {ServerEvent} */
export function unreadable(problem) {
  const why = problem instanceof Error ? problem.message : String(problem);
  const message = `The server sent something that this page does not understand (${why}): reload the page.`;
  return { type: "error", message, fatal: false };
}

/**
 * @param {{clientId: string, sampleRateHz: number}} options
 */
export function hello({ clientId, sampleRateHz }) {
  const message = { type: "hello", version: 1, sample_rate_hz: sampleRateHz };
  return clientId ? { ...message, client_id: clientId } : message;
}

/**
 * @param {Float32Array} samples -1 to 1; what is beyond is clipped
 * @returns {ArrayBuffer} s16le
 */
export function encodePcm(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((value, at) => {
    view.setInt16(2 * at, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true);
  });
  return view.buffer;
}

/**
 * @param {string} key an API key, or empty
 * @returns {string[]} the subprotocols that open a WebSocket
 */
export function subprotocols(key) {
  if (!key) return [SUBPROTOCOL];
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  const base64url = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [SUBPROTOCOL, `voiceplane.key.${base64url}`];
}
