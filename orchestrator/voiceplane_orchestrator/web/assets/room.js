// @ts-check
/** A room of a LiveKit server (docs/reference/webrtc.md): the same events and commands as the WebSocket's, and audio over WebRTC. */

import { retryDelayMs } from "./connection.js";
import { decodeEvent, unreadable } from "./protocol.js";

const TOPIC = "voiceplane";
const AGENT_KIND = 4;
const CONNECT_TIMEOUT_MS = 5000;
const LIFELESS_MS = 1200;
const ASK_AGAIN_MS = 2000;
const WATCH_MS = 300;
const STATS_MS = 1000;

/** Why there is no WebRTC: the reason is for people. */
export class NoRoom extends Error {}

/** LiveKit's client is large, so it is loaded when a server has rooms. @returns {Promise<any>} */
let library = () => {
  const loading = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("livekit-client.umd.js", import.meta.url).href;
    script.onload = () => resolve(/** @type {any} */ (window).LivekitClient);
    script.onerror = () => reject(new NoRoom("LiveKit's client could not be loaded"));
    document.head.append(script);
  });
  library = () => loading;
  return loading;
};

/**
 * @typedef {object} RoomHandlers
 * @property {(phase: import("./connection.js").Phase, reason: string) => void} onPhase
 * @property {(event: {type: string, [field: string]: any}) => void} onEvent
 * @property {(track: MediaStreamTrack | null) => void} onVoice the agent's audio; null when it has gone
 * @property {(network: import("./connection.js").Network) => void} onNetwork
 */

export class RoomConnection {
  /** @param {RoomHandlers} handlers @param {string} key */
  constructor(handlers, key) {
    this._handlers = handlers;
    this._key = key;
    /** @type {any} */
    this._room = null;
    this._name = "";
    this._attempt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._retry = undefined;
    /** @type {ReturnType<typeof setInterval>[]} */
    this._timers = [];
    /** @type {MediaStreamTrack | null} */
    this._microphone = null;
    /** @type {any} */
    this._voice = null;
    this._speaker = "";
    this._aliveAt = 0;
    this._askedAt = 0;
    this._counted = { lost: 0, received: 0 };
    this._closed = false;
  }

  /** Enter a room. Throws NoRoom if there is no WebRTC. */
  async open() {
    const granted = await this._grant();
    const livekit = await library();
    const room = new livekit.Room({ adaptiveStream: false, dynacast: false });
    this._follow(room, livekit);
    try {
      await room.connect(granted.url, granted.token, { peerConnectionTimeout: CONNECT_TIMEOUT_MS, maxRetries: 0 });
    } catch (error) {
      await room.disconnect(false);
      throw new NoRoom(`the LiveKit server cannot be reached (${/** @type {Error} */ (error).message})`);
    }
    if (this._closed) {
      await room.disconnect(false);
      return;
    }
    this._room = room;
    this._name = granted.room;
    this._attempt = 0;
    this._aliveAt = this._askedAt = performance.now();
    localStorage.setItem("voiceplane.client_id", granted.identity);
    this._timers = [setInterval(() => void this._watch(), WATCH_MS), setInterval(() => void this._measure(), STATS_MS)];
    await this.publish(this._microphone);
  }

  close() {
    this._closed = true;
    clearTimeout(this._retry);
    this._leave();
  }

  /** @param {object} message */
  send(message) {
    if (!this._room) return false;
    const data = new TextEncoder().encode(JSON.stringify(message));
    const sending = this._room.localParticipant.publishData(data, { reliable: true, topic: TOPIC });
    sending.catch((/** @type {unknown} */ error) => console.warn("not sent: the room is gone", error));
    return true;
  }

  /** Speak into the room, or no longer. @param {MediaStreamTrack | null} track */
  async publish(track) {
    const before = this._microphone;
    this._microphone = track;
    if (!this._room) return;
    const me = this._room.localParticipant;
    if (before && before !== track) await me.unpublishTrack(before, false);
    if (track && !me.trackPublications.size) await me.publishTrack(track, { source: "microphone", dtx: false, red: true });
  }

  /** Through which loudspeaker. @param {string} deviceId empty: the browser's choice */
  async playThrough(deviceId) {
    this._speaker = deviceId;
    await this._voice?.setSinkId(deviceId);
  }

  async _grant() {
    const body = { client_id: localStorage.getItem("voiceplane.client_id") || null, room: this._name || null };
    let response;
    try {
      const transports = await fetch("v1/transports", { headers: this._headers(), signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
      if (transports.ok && !(await transports.json()).webrtc) throw new NoRoom("the server has no WebRTC");
      response = await this._post("v1/livekit/token", body);
    } catch (error) {
      throw error instanceof NoRoom ? error : new NoRoom("the server does not answer");
    }
    if (!response.ok) throw new NoRoom((await response.json()).error?.message ?? `HTTP ${response.status}`);
    return response.json();
  }

  /** @param {string} path @param {object} body */
  _post(path, body) {
    const headers = { "Content-Type": "application/json", ...this._headers() };
    return fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
  }

  /** @returns {Record<string, string>} */
  _headers() {
    return this._key ? { Authorization: `Bearer ${this._key}` } : {};
  }

  /** @param {any} room @param {any} livekit */
  _follow(room, livekit) {
    const { RoomEvent } = livekit;
    room.on(RoomEvent.TrackSubscribed, (/** @type {any} */ track, /** @type {any} */ _, /** @type {any} */ participant) => {
      if (track.kind !== "audio" || participant.kind !== AGENT_KIND) return;
      this._voice?.detach();
      this._voice = track; // the newest agent is the one that talks
      void track.setSinkId(this._speaker);
      track.attach();
      this._handlers.onVoice(track.mediaStreamTrack);
    });
    room.on(RoomEvent.TrackUnsubscribed, (/** @type {any} */ track) => {
      track.detach();
      if (track !== this._voice) return;
      this._voice = null;
      this._handlers.onVoice(null);
    });
    room.on(RoomEvent.DataReceived, (/** @type {Uint8Array} */ data, /** @type {any} */ _, /** @type {any} */ __, /** @type {string} */ topic) => {
      if (topic === TOPIC) this._receive(new TextDecoder().decode(data));
    });
    room.on(RoomEvent.Reconnecting, () => this._handlers.onPhase("waiting", "The network was lost."));
    room.on(RoomEvent.Reconnected, () => this._handlers.onPhase("ready", ""));
    room.on(RoomEvent.Disconnected, () => {
      if (this._room === room) this._enterAgain();
    });
  }

  /** @param {string} text */
  _receive(text) {
    this._aliveAt = performance.now();
    let event;
    try {
      event = decodeEvent(text);
    } catch (problem) {
      event = unreadable(problem);
    }
    if (event.type === "alive") return;
    if (event.type === "ready") this._handlers.onPhase("ready", "");
    this._handlers.onEvent(event);
  }

  /** An agent that gives no sign of life may be dead: LiveKit sends no other one by itself. */
  async _watch() {
    const now = performance.now();
    if (now - this._aliveAt < LIFELESS_MS || now - this._askedAt < ASK_AGAIN_MS || this._room?.state !== "connected") return;
    this._askedAt = now;
    this._handlers.onPhase("waiting", "Waiting for an agent.");
    try {
      await this._post("v1/livekit/agent", { room: this._name });
    } catch {
      return; // asked again soon
    }
  }

  async _measure() {
    const report = await this._voice?.getRTCStatsReport?.();
    if (!report) return;
    let roundTripMs = NaN;
    for (const entry of report.values()) {
      if (entry.type === "candidate-pair" && entry.nominated) roundTripMs = (entry.currentRoundTripTime ?? NaN) * 1000;
    }
    for (const entry of report.values()) {
      if (entry.type !== "inbound-rtp") continue;
      const lost = entry.packetsLost - this._counted.lost;
      const received = entry.packetsReceived - this._counted.received;
      this._counted = { lost: entry.packetsLost, received: entry.packetsReceived };
      const lossPercent = (100 * Math.max(0, lost)) / Math.max(1, lost + received);
      this._handlers.onNetwork({ jitter_ms: entry.jitter * 1000, loss_percent: lossPercent, round_trip_ms: roundTripMs });
    }
  }

  _leave() {
    for (const timer of this._timers) clearInterval(timer);
    this._timers = [];
    const room = this._room;
    this._room = null;
    this._voice?.detach();
    this._voice = null;
    this._handlers.onVoice(null);
    void room?.disconnect(false);
  }

  /** The room is gone, and not by our will: the same room again, with a new grant. */
  _enterAgain() {
    this._leave();
    if (this._closed) return;
    this._handlers.onPhase("waiting", "The room was lost.");
    this._retry = setTimeout(
      () => {
        this.open().catch(() => this._enterAgain());
      },
      retryDelayMs(this._attempt++, Math.random()),
    );
  }
}
