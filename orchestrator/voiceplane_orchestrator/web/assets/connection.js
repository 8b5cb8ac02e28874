// @ts-check
/** The WebSocket to /v1/talk, opened again when it breaks. */

import { Arrivals } from "./arrivals.js";
import { decodeEvent, decodeFrame, hello, SAMPLE_RATE_HZ, subprotocols, unreadable } from "./protocol.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10000;
const BAD_MESSAGE = 4400; // we made a mistake: trying again would make it again
const MEASURE_MS = 1000;

/** @typedef {"closed" | "connecting" | "ready" | "waiting"} Phase */
/** @typedef {{jitter_ms?: number, loss_percent?: number, round_trip_ms?: number}} Network */
/**
 * @typedef {object} Handlers
 * @property {(phase: Phase, reason: string) => void} onPhase
 * @property {(event: {type: string, [field: string]: any}) => void} onEvent
 * @property {(frame: import("./protocol.js").Frame) => void} onFrame
 * @property {(network: Network) => void} onNetwork
 */

/**
 * How long to wait before attempt number `attempt` (from 0): doubled each time, with up to a quarter of jitter.
 * @param {number} attempt
 * @param {number} random 0 to 1
 */
export function retryDelayMs(attempt, random) {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt) * (1 - random / 4);
}

export class Connection {
  /** @param {Handlers} handlers */
  constructor(handlers) {
    this._handlers = handlers;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._attempt = 0;
    this._timer = 0;
    this._lastError = "";
    this._arrivals = new Arrivals();
    this._measuredAt = -Infinity;
    this.key = "";
    /** @type {Phase} */
    this.phase = "closed";
  }

  open() {
    clearTimeout(this._timer);
    this._lastError = "";
    this._enter("connecting", "");
    const url = new URL("v1/talk", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, subprotocols(this.key));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const clientId = localStorage.getItem("voiceplane.client_id") ?? "";
      socket.send(JSON.stringify(hello({ clientId, sampleRateHz: SAMPLE_RATE_HZ })));
    };
    socket.onmessage = ({ data }) => this._receive(data);
    socket.onclose = ({ code, reason }) => {
      if (this._socket === socket) void this._closed(code, reason);
    };
    this._socket = socket;
  }

  close() {
    clearTimeout(this._timer);
    const socket = this._socket;
    this._socket = null;
    socket?.close(1000);
    this._attempt = 0;
    this._enter("closed", "");
  }

  /** @param {object} message @returns {boolean} whether there was a session to send it to */
  send(message) {
    return this._transmit(JSON.stringify(message));
  }

  /** @param {ArrayBuffer} pcm */
  sendAudio(pcm) {
    return this._transmit(pcm);
  }

  /** @param {string | ArrayBuffer} data */
  _transmit(data) {
    if (this.phase !== "ready" || this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(data);
    return true;
  }

  /** @param {string | ArrayBuffer} data */
  _receive(data) {
    try {
      if (typeof data === "string") this._receiveEvent(decodeEvent(data));
      else this._receiveFrame(decodeFrame(data));
    } catch (problem) {
      this._handlers.onEvent(unreadable(problem));
    }
  }

  /** @param {import("./protocol.js").Frame | null} frame */
  _receiveFrame(frame) {
    if (!frame) return;
    const now = performance.now();
    this._arrivals.note(frame, now);
    this._handlers.onFrame(frame);
    if (now - this._measuredAt < MEASURE_MS) return;
    this._measuredAt = now;
    this._handlers.onNetwork({ jitter_ms: this._arrivals.jitterMs });
  }

  /** @param {import("./protocol.js").ServerEvent} event */
  _receiveEvent(event) {
    if (event.type === "pause") this._arrivals.restart();
    if (event.type === "error" && event.fatal) this._lastError = event.message;
    if (event.type === "ready") {
      localStorage.setItem("voiceplane.client_id", event.client_id);
      this._attempt = 0;
      this._enter("ready", "");
    }
    this._handlers.onEvent(event);
  }

  /** @param {number} code @param {string} reason */
  async _closed(code, reason) {
    const socket = this._socket;
    const why = this._lastError || reason || (await this._diagnose());
    if (this._socket !== socket) return;
    if (code === BAD_MESSAGE) {
      this._enter("closed", why);
      return;
    }
    const delayMs = retryDelayMs(this._attempt++, Math.random());
    this._enter("waiting", why);
    this._timer = setTimeout(() => this.open(), delayMs);
  }

  /** A browser does not say why a WebSocket was refused; a plain request does. */
  async _diagnose() {
    try {
      const headers = this.key ? { Authorization: `Bearer ${this.key}` } : undefined;
      const models = await fetch("v1/models", { headers, signal: AbortSignal.timeout(3000) });
      if (models.status === 401) return "The server asks for an API key: enter it in the settings below.";
      const ready = await fetch("readyz", { signal: AbortSignal.timeout(3000) });
      if (!ready.ok) return `The server is not ready: ${(await ready.json()).reason}.`;
      return "The connection was lost.";
    } catch {
      return "The server does not answer.";
    }
  }

  /** @param {Phase} phase @param {string} reason */
  _enter(phase, reason) {
    this.phase = phase;
    this._handlers.onPhase(phase, reason);
  }
}
