import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "../../../orchestrator/voiceplane_orchestrator/web/assets/connection.js";
import { decodeEvent, decodeFrame, encodePcm, hello, subprotocols, unreadable } from "../../../orchestrator/voiceplane_orchestrator/web/assets/protocol.js";

function bytes({ kind = 1, version = 1, valid = 3 } = {}) {
  const view = new DataView(new ArrayBuffer(24 + 1920));
  view.setUint8(0, version);
  view.setUint8(1, kind);
  view.setUint16(2, 1, true);
  view.setUint32(4, 7, true);
  view.setUint32(8, 9, true);
  view.setBigUint64(12, 5_000_000_000n, true);
  view.setUint16(20, valid, true);
  [-32768, 0, 16384].forEach((value, at) => view.setInt16(24 + 2 * at, value, true));
  return view.buffer;
}

test("a frame is decoded without its padding", () => {
  assert.deepEqual(decodeFrame(bytes()), {
    end: true, epoch: 7, utterance: 9, mediaTimeSamples: 5_000_000_000, samples: Float32Array.of(-1, 0, 0.5),
  });
});

test("unknown kinds are ignored, broken frames are refused", () => {
  assert.equal(decodeFrame(bytes({ kind: 2 })), null);
  assert.throws(() => decodeFrame(bytes({ version: 2 })), /version 2/);
  assert.throws(() => decodeFrame(bytes({ valid: 961 })), /961/);
  assert.throws(() => decodeFrame(new ArrayBuffer(10)), /no header/);
});

test("an event without what the page needs of it is refused by name, an unknown one is left to others", () => {
  assert.throws(() => decodeEvent("[]"), /type/);
  assert.throws(() => decodeEvent("{"), SyntaxError);
  assert.throws(() => decodeEvent('{"type":"transcript","role":"user"}'), /transcript needs text, a string/);
  assert.throws(() => decodeEvent('{"type":"stop","epoch":"2"}'), /stop needs epoch, a number/);
  assert.equal(decodeEvent('{"type":"stop","epoch":2}').epoch, 2);
  assert.equal(decodeEvent('{"type":"something-new"}').type, "something-new");
});

test("a message that cannot be read becomes an error that says why", () => {
  const event = unreadable(new Error("frame version 2 is not 1"));
  assert.equal(event.type, "error");
  assert.match(event.message, /frame version 2 is not 1.*reload the page/);
});

test("microphone audio is clipped and little-endian", () => {
  assert.deepEqual([...new Uint8Array(encodePcm(Float32Array.of(2, -2, 0)))], [0xff, 0x7f, 0x01, 0x80, 0, 0]);
});

test("hello names a client only if it is known", () => {
  assert.deepEqual(hello({ clientId: "", sampleRateHz: 48000 }), { type: "hello", version: 1, sample_rate_hz: 48000 });
  assert.equal(hello({ clientId: "c", sampleRateHz: 48000 }).client_id, "c");
});

test("a key travels as base64url without padding", () => {
  assert.deepEqual(subprotocols(""), ["voiceplane.v1"]);
  assert.deepEqual(subprotocols("\u00fb\u00ff?"), ["voiceplane.v1", "voiceplane.key.w7vDvz8"]);
  assert.deepEqual(subprotocols("???>"), ["voiceplane.v1", "voiceplane.key.Pz8_Pg"]);
});

test("retries double up to 10 s", () => {
  assert.deepEqual([0, 1, 2, 9].map((attempt) => retryDelayMs(attempt, 0)), [500, 1000, 2000, 10000]);
  assert.equal(retryDelayMs(0, 1), 375);
});
