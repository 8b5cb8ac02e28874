import assert from "node:assert/strict";
import { test } from "node:test";
import { Arrivals } from "../../../orchestrator/voiceplane_orchestrator/web/assets/arrivals.js";
import { devicesOf, settle } from "../../../orchestrator/voiceplane_orchestrator/web/assets/devices.js";
import { figure, inWords, median, MEASURES } from "../../../orchestrator/voiceplane_orchestrator/web/assets/latency.js";
import { residency } from "../../../orchestrator/voiceplane_orchestrator/web/assets/models.js";
import { bars, line } from "../../../orchestrator/voiceplane_orchestrator/web/assets/plot.js";

const model = (...workers) => ({ id: "m", is_default: false, voices: [], workers });
const place = (state, more = {}) => ({ worker: "a", state, reason: "", message: "", ...more });
const input = (deviceId, label = "") => ({ kind: "audioinput", deviceId, label });

test("a model shows the best that a worker offers, and why it failed", () => {
  const failed = place("failed", { reason: "BROKEN", message: "broken file" });
  assert.deepEqual(residency(model(failed)), { state: "failed", detail: "broken file", share: null });
  assert.equal(residency(model(place("failed", { reason: "BROKEN" }))).detail, "BROKEN");
  assert.equal(residency(model(failed, place("resident"))).state, "resident");
  assert.equal(residency(model(place("fetching"), place("loading"))).state, "loading");
  assert.equal(residency(model(place("absent"), failed)).state, "failed");
  assert.equal(residency(model(place("something-new"), place("absent"))).state, "absent");
  assert.equal(residency(model()).state, "no worker");
  const never = place("absent", { availability: "never", message: "no such family" });
  assert.deepEqual(residency(model(never)), { state: "never", detail: "no such family", share: null });
  assert.equal(residency(model(never, place("failed"))).state, "failed", "another worker may still load it");
});

test("what is fetched is shown in megabytes, and as a share where the whole is known", () => {
  const fetching = (fetched_bytes, fetch_bytes, fetch_bytes_per_s) =>
    residency(model(place("fetching", { fetched_bytes, fetch_bytes, fetch_bytes_per_s })));
  assert.deepEqual(fetching(21_000_000, 63_000_000), { state: "fetching", detail: "21 of 63 MB", share: 1 / 3 });
  assert.equal(fetching(21_000_000, 63_000_000, 4_200_000).detail, "21 of 63 MB, 5 MB/s");
  assert.deepEqual(fetching(21_000_000, 0), { state: "fetching", detail: "21 MB", share: null });
  assert.deepEqual(fetching(0, 0), { state: "fetching", detail: "", share: null });
  assert.equal(fetching(70_000_000, 63_000_000).share, 1);
});

test("the median of an even count is between the middle two", () => {
  assert.equal(median([40, 10, 20, 30]), 25);
  assert.equal(median([30, 10, 20]), 20);
});

test("a plot is described in words, too", () => {
  const measure = (name) => MEASURES.find((candidate) => candidate.name === name);
  assert.equal(inWords(measure("first_audio_ms"), [310.4, 280]), "First audio, the last 2: 310 ms, 280 ms");
  assert.equal(inWords(measure("loss_percent"), [0, 2.04, 1]), "Packet loss, the last minute: 0.0% to 2.0%, now 1.0%");
  assert.equal(figure(0.6, "ms"), "1 ms");
});

test("bars stand on the ground, the newest at the right, the highest as high as the plot", () => {
  const [low, high] = bars([5, 10], 10);
  assert.deepEqual([low.y + low.height, high.y + high.height], [28, 28]);
  assert.deepEqual([low.height, high.height], [14, 28]);
  assert.deepEqual([low.x, high.x], [80, 90]);
  assert.ok(bars([0], 10)[0].height > 0, "a zero is seen");
  assert.deepEqual(bars([], 10), []);
});

test("a line ends at the right with the newest value, and leaves out nothing", () => {
  const points = [{ at: 1000, value: 0 }, { at: 31_000, value: 4 }];
  assert.equal(line(points, 60_000), "50.0,27.0 100.0,1.0");
  assert.equal(line([{ at: 5, value: 0 }], 60_000), "100.0,27.0", "all zeroes lie on the ground");
});

test("what comes early is no jitter, what comes late is", () => {
  const arrivals = new Arrivals();
  const frame = (index, utterance = 1) => ({ utterance, mediaTimeSamples: 960 * index });
  for (let index = 0; index < 10; index++) arrivals.note(frame(index), 1000); // the server's burst
  assert.equal(arrivals.jitterMs, 0);
  arrivals.note(frame(10), 1036);
  assert.equal(arrivals.jitterMs, 1); // 16 ms late, smoothed by 16
  arrivals.restart();
  arrivals.note(frame(11), 9000);
  assert.equal(arrivals.jitterMs, 1, "a pause is not lateness");
  arrivals.note(frame(0, 2), 99_000);
  assert.equal(arrivals.jitterMs, 1, "nor is the time between two utterances");
});

test("the browser's choice is no device of its own, and devices without names are numbered", () => {
  const all = [input("default", "Default"), input("a", "Headset"), input("b"), { kind: "audiooutput", deviceId: "c", label: "Box" }];
  assert.deepEqual(devicesOf(all, "microphone"), [{ id: "a", label: "Headset" }, { id: "b", label: "microphone 2" }]);
  assert.deepEqual(devicesOf(all, "speaker"), [{ id: "c", label: "Box" }]);
  assert.equal(devicesOf([input("")], "microphone"), null, "not told before the microphone is allowed");
  assert.deepEqual(devicesOf([], "microphone"), []);
});

test("a chosen device is used while it is there, and until the browser tells which there are", () => {
  const headset = { id: "a", label: "Headset" };
  assert.deepEqual(settle(headset, [headset]), { id: "a", gone: false });
  assert.deepEqual(settle(headset, null), { id: "a", gone: false });
  assert.deepEqual(settle(headset, []), { id: "", gone: true });
  assert.deepEqual(settle({ id: "", label: "" }, []), { id: "", gone: false });
});
