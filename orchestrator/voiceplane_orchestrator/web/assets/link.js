// @ts-check
/** The way to the server: WebRTC where it has that, else the WebSocket, and why. */

import { Connection } from "./connection.js";
import { NoRoom, RoomConnection } from "./room.js";

/** @typedef {import("./connection.js").Handlers & Pick<import("./room.js").RoomHandlers, "onVoice"> & {onTransport: (name: string, reason: string) => void}} LinkHandlers */

export class Link {
  /**
   * @param {LinkHandlers} handlers
   * @param {string} forced "webrtc" or "websocket" if nothing else is to be tried
   */
  constructor(handlers, forced) {
    this._handlers = handlers;
    this._forced = forced;
    this._socket = new Connection({ ...handlers, onPhase: (phase, reason) => this._enter(phase, reason) });
    /** @type {RoomConnection | null} */
    this._room = null;
    /** @type {MediaStreamTrack | null} */
    this._microphone = null;
    this._speaker = "";
    this.key = "";
    /** @type {import("./connection.js").Phase} */
    this.phase = "closed";
  }

  open() {
    this._enter("connecting", "");
    if (this._forced === "websocket") this._openSocket("the address of this page asks for it");
    else void this._openRoom();
  }

  close() {
    this._room?.close();
    this._room = null;
    this._socket.close();
    this._handlers.onTransport("", "");
    this._enter("closed", "");
  }

  /** @param {object} message @returns {boolean} whether there was a session to send it to */
  send(message) {
    if (!this._room) return this._socket.send(message);
    return /** @type {any} */ (message).type !== "playout" && this._room.send(message);
  }

  /** Over WebRTC the track itself carries it. @param {ArrayBuffer} pcm */
  sendAudio(pcm) {
    return this._room ? true : this._socket.sendAudio(pcm);
  }

  /** What is said into this track is heard by the server. @param {MediaStreamTrack | null} track */
  async speakInto(track) {
    this._microphone = track;
    await this._room?.publish(track);
  }

  /** Over the WebSocket, who plays the frames sees to that. @param {string} deviceId empty: the browser's choice */
  async playThrough(deviceId) {
    this._speaker = deviceId;
    await this._room?.playThrough(deviceId);
  }

  async _openRoom() {
    const room = new RoomConnection({ ...this._handlers, onPhase: (phase, reason) => this._enter(phase, reason) }, this.key);
    this._room = room;
    try {
      await room.publish(this._microphone);
      await room.playThrough(this._speaker);
      await room.open();
      this._handlers.onTransport("WebRTC", "");
    } catch (error) {
      if (this._room !== room) return; // closed meanwhile
      room.close();
      this._room = null;
      const reason = error instanceof NoRoom ? error.message : String(error);
      if (this._forced === "webrtc") this._enter("closed", `No WebRTC: ${reason}.`);
      else this._openSocket(reason);
    }
  }

  /** @param {string} reason */
  _openSocket(reason) {
    this._handlers.onTransport("WebSocket", reason);
    this._socket.key = this.key;
    this._socket.open();
  }

  /** @param {import("./connection.js").Phase} phase @param {string} reason */
  _enter(phase, reason) {
    this.phase = phase;
    this._handlers.onPhase(phase, reason);
  }
}
