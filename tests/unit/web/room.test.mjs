import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomConnection } from "../../../orchestrator/voiceplane_orchestrator/web/assets/room.js";

function entered() {
  const told = [];
  const room = new RoomConnection({ onEvent: (event) => told.push(event), onPhase: (phase) => told.push(phase) }, "");
  return { told, receive: (text) => room._receive(text) };
}

test("what cannot be read is an error, and what follows is read", () => {
  const { told, receive } = entered();
  receive("{");
  receive('{"type":"reply","utterance":1}');
  receive('{"type":"reply","utterance":1,"text":"Hello."}');
  assert.deepEqual(told.map(({ type }) => type), ["error", "error", "reply"]);
  assert.match(told[1].message, /reply needs text/);
});

test("ready opens the conversation, a sign of life is nothing to show", () => {
  const { told, receive } = entered();
  receive('{"type":"alive","at_ms":1}');
  receive('{"type":"ready","epoch":1}');
  assert.deepEqual(told, ["ready", { type: "ready", epoch: 1 }]);
});
