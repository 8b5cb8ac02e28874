import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "../../../orchestrator/voiceplane_orchestrator/web/assets/connection.js";
import { median } from "../../../orchestrator/voiceplane_orchestrator/web/assets/latency.js";
import { residency } from "../../../orchestrator/voiceplane_orchestrator/web/assets/models.js";
import { decodeEvent, decodeFrame, encodePcm, hello, subprotocols } from "../../../orchestrator/voiceplane_orchestrator/web/assets/protocol.js";
import { unheard } from "../../../orchestrator/voiceplane_orchestrator/web/assets/transcript.js";

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
  assert.throws(() => decodeEvent("[]"), /type/);
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

test("a model shows the best that a worker offers, and why it failed", () => {
  const model = (...workers) => ({ id: "m", is_default: false, voices: [], workers });
  const failed = { worker: "a", state: "failed", reason: "BROKEN", message: "broken file" };
  assert.deepEqual(residency(model(failed)), { state: "failed", detail: "broken file" });
  assert.equal(residency(model(failed, { ...failed, state: "resident" })).state, "resident");
  assert.equal(residency(model()).state, "no worker");
});

test("the median of an even count is between the middle two", () => {
  assert.equal(median([40, 10, 20, 30]), 25);
  assert.equal(median([30, 10, 20]), 20);
});

test("what was not heard is the rest of the text", () => {
  assert.equal(unheard("One. Two.", "One."), " Two.");
  assert.equal(unheard("One. Two.", "Three."), "");
});
