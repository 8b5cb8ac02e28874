import assert from "node:assert/strict";
import { test } from "node:test";
import { PlayerQueue } from "../../../orchestrator/voiceplane_orchestrator/web/assets/player-queue.js";

const frame = (index, { epoch = 1, utterance = 1, end = false, valid = 960 } = {}) => ({
  epoch, utterance, end, mediaTimeSamples: 960 * index,
  samples: Float32Array.from({ length: valid }, (_, at) => (960 * index + at + 1) / 32768),
});

function pull(queue, quanta) {
  const heard = [];
  for (let count = 0; count < quanta; count++) {
    const output = new Float32Array(128);
    queue.pull(output);
    heard.push(...output);
  }
  return heard;
}

test("it waits for 50 ms, then plays every sample once and in order", () => {
  const queue = new PlayerQueue();
  queue.push(frame(0));
  queue.push(frame(1));
  assert.ok(pull(queue, 3).every((value) => value === 0));
  queue.push(frame(2, { end: true }));
  const heard = pull(queue, 24).slice(0, 2880);
  assert.deepEqual(heard.map((value) => Math.round(value * 32768)), Array.from({ length: 2880 }, (_, at) => at + 1));
  assert.deepEqual(queue.cursor, { utterance: 1, mediaTimeSamples: 2880 });
  assert.equal(queue.underruns, 0);
});

test("a short utterance begins at once, and its padding is not played", () => {
  const queue = new PlayerQueue();
  queue.push(frame(0, { end: true, valid: 200 }));
  pull(queue, 3);
  assert.equal(queue.played, 200);
  assert.equal(queue.cursor.mediaTimeSamples, 200);
});

test("a pause is silent after 3 ms and resumes at the exact sample", () => {
  const queue = new PlayerQueue();
  for (let index = 0; index < 4; index++) queue.push(frame(index, { end: index === 3 }));
  pull(queue, 5);
  queue.pause();
  const { mediaTimeSamples } = queue.cursor;
  const fade = pull(queue, 4);
  assert.equal(mediaTimeSamples, 640);
  assert.ok(fade[0] > 0);
  assert.ok(fade.slice(144).every((value) => value === 0));
  assert.equal(queue.cursor.mediaTimeSamples, mediaTimeSamples);
  queue.resume();
  const heard = pull(queue, 26);
  assert.equal(Math.round(heard[200] * 32768), 640 + 200 + 1);
  assert.equal(queue.played, 4 * 960);
  assert.equal(queue.cursor.mediaTimeSamples, 4 * 960);
});

test("frames that arrive in a pause are kept", () => {
  const queue = new PlayerQueue();
  queue.stop(1);
  queue.pause();
  for (let index = 0; index < 3; index++) queue.push(frame(index));
  assert.ok(pull(queue, 2).every((value) => value === 0));
  assert.equal(queue.bufferedSamples, 2880);
});

test("stop forgets what is buffered, keeps the cursor and refuses older frames", () => {
  const queue = new PlayerQueue();
  for (let index = 0; index < 3; index++) queue.push(frame(index));
  pull(queue, 2);
  queue.stop(2);
  pull(queue, 2);
  queue.push(frame(3, { end: true }));
  assert.ok(pull(queue, 4).every((value) => value === 0));
  assert.equal(queue.dropped, 1);
  assert.equal(queue.cursor.mediaTimeSamples, 256);
  queue.push(frame(0, { epoch: 2, utterance: 2, end: true }));
  pull(queue, 8);
  assert.deepEqual(queue.cursor, { utterance: 2, mediaTimeSamples: 960 });
});

test("stop ends a pause, so that the next utterance is heard", () => {
  const queue = new PlayerQueue();
  queue.pause();
  queue.stop(2);
  queue.push(frame(0, { epoch: 2, end: true }));
  pull(queue, 8);
  assert.equal(queue.played, 960);
});

test("running dry before the end counts as one underrun and buffers again", () => {
  const queue = new PlayerQueue();
  for (let index = 0; index < 3; index++) queue.push(frame(index));
  pull(queue, 40);
  assert.equal(queue.underruns, 1);
  queue.push(frame(3));
  assert.ok(pull(queue, 2).every((value) => value === 0));
});

test("a last frame without samples is no underrun", () => {
  const queue = new PlayerQueue();
  for (let index = 0; index < 2; index++) queue.push(frame(index));
  queue.push(frame(2, { end: true, valid: 0 }));
  pull(queue, 40);
  assert.equal(queue.underruns, 0);
  assert.equal(queue.played, 1920);
});

test("the end of each utterance is reported", () => {
  const queue = new PlayerQueue();
  queue.push(frame(0, { end: true, valid: 128 }));
  assert.equal(queue.pull(new Float32Array(128)), true);
  assert.equal(queue.pull(new Float32Array(128)), false);
});
