// @ts-check
/** The page: wires the parts together. */

import { Devices } from "./devices.js";
import { Latency } from "./latency.js";
import { Link } from "./link.js";
import { Models } from "./models.js";
import { encodePcm } from "./protocol.js";
import { Sound } from "./sound.js";
import { Transcript } from "./transcript.js";

const MODELS_REFRESH_MS = 3000;
const BUSY_REFRESH_MS = 700;
const KEY = "voiceplane.key";
const PHASES = { closed: "Not connected", connecting: "Connecting…", ready: "Connected", waiting: "Reconnecting…" };
const STATES = { listening: "Listening", thinking: "Thinking", speaking: "Speaking", paused: "Paused", no_worker: "No worker" };

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const ui = {
  talk: /** @type {HTMLButtonElement} */ (element("talk")),
  mute: /** @type {HTMLButtonElement} */ (element("mute")),
  interrupt: /** @type {HTMLButtonElement} */ (element("interrupt")),
  disconnect: /** @type {HTMLButtonElement} */ (element("disconnect")),
  text: /** @type {HTMLInputElement} */ (element("text")),
  key: /** @type {HTMLInputElement} */ (element("key")),
};
/** Counts for whoever wants to know what really happened; nothing here reads them. */
const stats = { played: 0, loudest: 0, underruns: 0, dropped: 0, microphoneChunks: 0, microphoneLoudest: 0, voiceNow: 0 };
Object.assign(window, { voiceplane: { stats } });

const transcript = new Transcript(element("transcript"));
const latency = new Latency(element("latency"));
const sound = new Sound({
  onPlayed,
  onChunk,
  onVoice: (peak) => {
    Object.assign(stats, { voiceNow: peak, loudest: Math.max(stats.loudest, peak) });
    showLevel("output-level", peak);
  },
  onLost: () => void attempt(replaceMicrophone),
  onProblem: showError,
});
const connection = new Link(
  {
    onPhase,
    onEvent,
    onTransport,
    onVoice: (track) => sound.follow(track),
    onNetwork: (network) => latency.add(network),
    onFrame: (frame) => sound.player?.push(frame),
  },
  new URLSearchParams(location.search).get("transport") ?? "",
);
const devices = new Devices(
  {
    microphone: element("microphone"),
    speaker: element("speaker"),
    headphones: element("headphones"),
    note: element("devices-note"),
  },
  { microphone: () => attempt(reopenMicrophone), speaker: () => attempt(playThrough) },
);
const models = new Models(
  {
    model: element("model"),
    voice: element("voice"),
    state: element("residency"),
    elapsed: element("elapsed"),
    progress: element("loading"),
  },
  (choice) => {
    wanted = choice;
    connection.send({ type: "select", ...choice });
  },
);
/** @type {{model: string, voice: string} | null} what was chosen before there was a session to tell */
let wanted = null;
/** @type {import("./player-queue.js").Cursor | null} */
let reported = null;
/** @type {string[]} texts that were sent to be spoken, and whose utterance has not begun */
let pendingTexts = [];
let busy = false;

/** @param {unknown} problem */
function showError(problem) {
  const message = problem instanceof Error ? problem.message : String(problem);
  const box = element("error");
  box.hidden = !message;
  if (box.textContent !== message) box.textContent = message;
}

/** @param {string} phase @param {string} text */
function showConnection(phase, text) {
  const status = element("connection");
  status.dataset.phase = phase;
  if (status.textContent !== text) status.textContent = text;
}

/** @param {string} activity what the stage shows by its look */
function showActivity(activity) {
  element("stage").dataset.activity = activity;
}

/** @param {string} id @param {number} peak */
function showLevel(id, peak) {
  const share = Math.max(0, 1 + Math.log10(Math.max(peak, 1e-4)) / 3); // of 60 dB
  element(id).style.transform = `scaleX(${share.toFixed(2)})`;
  element(id).parentElement?.setAttribute("aria-valuenow", String(Math.round(100 * share)));
}

/** @param {import("./connection.js").Phase} phase @param {string} reason */
function onPhase(phase, reason) {
  showConnection(phase, reason ? `${PHASES[phase]} ${reason}` : PHASES[phase]);
  showActivity(phase === "ready" ? "listening" : "");
  if (phase !== "ready") sound.player?.reset(0);
  showControls();
  if (phase === "closed" && reason) showError(reason);
}

/** @param {string} name @param {string} reason why it is not the better one */
function onTransport(name, reason) {
  element("transport").textContent = reason ? `${name}, because ${reason}` : name;
  const isSocket = name === "WebSocket";
  latency.explain("loss_percent", isSocket ? "none: it is sent again" : "");
  latency.explain("round_trip_ms", isSocket ? "over WebRTC only" : "");
}

function showControls() {
  const { talking, muted } = sound;
  ui.talk.textContent = talking ? "Stop" : "Talk";
  ui.talk.dataset.active = String(talking);
  ui.talk.disabled = busy;
  ui.mute.disabled = !talking;
  ui.mute.textContent = muted ? "Unmute" : "Mute";
  ui.mute.dataset.active = String(muted);
  ui.interrupt.disabled = connection.phase !== "ready";
  ui.disconnect.hidden = connection.phase === "closed";
}

/** @param {{type: string, [field: string]: any}} event */
function onEvent(event) {
  switch (event.type) {
    case "ready":
      showError("");
      transcript.begin();
      reported = null;
      sound.player?.reset(event.epoch);
      if (wanted) connection.send({ type: "select", ...wanted });
      else models.select(/** @type {any} */ (event));
      for (const text of pendingTexts) connection.send({ type: "say", text });
      break;
    case "state":
      showConnection(
        event.state === "no_worker" ? "waiting" : "ready",
        [STATES[/** @type {keyof STATES} */ (event.state)] ?? event.state, event.reason].filter(Boolean).join(": "),
      );
      showActivity(event.state);
      break;
    case "partial":
      transcript.partial(/** @type {any} */ (event));
      break;
    case "transcript":
      transcript.final(/** @type {any} */ (event));
      break;
    case "reply":
      transcript.reply(/** @type {any} */ (event));
      break;
    case "utterance":
      pendingTexts.shift();
      if (event.fallback) transcript.note(`${event.model} speaks meanwhile: ${event.reason}`);
      break;
    case "pause":
      sound.player?.pause();
      break;
    case "resume":
      sound.player?.resume();
      break;
    case "stop":
      sound.player?.stop(event.epoch);
      break;
    case "done":
      if (event.result === "empty") {
        pendingTexts.shift();
        transcript.note("There was nothing in it that can be spoken.");
      }
      break;
    case "latency":
      latency.add(event);
      break;
    case "selected":
      models.select(/** @type {any} */ (event));
      break;
    case "rerouted":
      transcript.note(`Another worker goes on: ${event.reason}`);
      break;
    case "error":
      pendingTexts = [];
      showError(event.message);
      break;
  }
}

/** @param {import("./player.js").PlayerReport} report */
function onPlayed({ cursor, played, underruns, dropped, peak, running }) {
  Object.assign(stats, { played, underruns, dropped, loudest: Math.max(stats.loudest, peak) });
  showLevel("output-level", running ? peak : 0);
  if (!cursor) return;
  const isNews = cursor.utterance !== reported?.utterance || cursor.mediaTimeSamples !== reported.mediaTimeSamples;
  if (isNews || !running) {
    reported = cursor;
    connection.send({ type: "playout", utterance: cursor.utterance, media_time_samples: cursor.mediaTimeSamples });
  }
}

/** @param {Float32Array} samples */
function onChunk(samples) {
  const peak = samples.reduce((loudest, value) => Math.max(loudest, Math.abs(value)), 0);
  showLevel("input-level", peak);
  stats.microphoneLoudest = peak;
  if (connection.sendAudio(encodePcm(samples))) stats.microphoneChunks += 1;
}

async function talk() {
  if (sound.talking) return disconnect();
  const track = await sound.listen(devices.input);
  await devices.refresh(); // now the browser tells their names
  await connection.speakInto(track);
  if (connection.phase === "closed") connection.open(); // a typed text may have opened it
}

async function disconnect() {
  pendingTexts = [];
  sound.hush();
  showLevel("input-level", 0);
  await connection.speakInto(null);
  connection.close();
}

async function say() {
  const text = ui.text.value.trim();
  if (!text) return;
  await sound.start();
  ui.text.value = "";
  pendingTexts = [text]; // a new text stops the one before
  if (connection.phase === "ready") connection.send({ type: "say", text });
  else if (connection.phase === "closed") connection.open();
}

/** Another microphone was chosen, or the one in use has gone. */
async function reopenMicrophone() {
  if (sound.talking) await connection.speakInto(await sound.listen(devices.input));
}

async function replaceMicrophone() {
  sound.hush();
  await devices.refresh();
  await connection.speakInto(await sound.listen(devices.input));
}

async function playThrough() {
  await sound.playThrough(devices.speaker);
  await connection.playThrough(devices.speaker);
}

/** @param {() => Promise<void>} action */
async function attempt(action) {
  showError("");
  try {
    await action();
  } catch (error) {
    showError(error);
  }
  showControls();
}

/** In answer to a click: one thing at a time. @param {() => Promise<void>} action */
async function act(action) {
  if (busy) return;
  busy = true;
  showControls();
  await attempt(action);
  busy = false;
  showControls();
}

async function refreshModels() {
  try {
    if (!document.hidden) await models.refresh(connection.key);
  } catch (error) {
    if (connection.phase === "ready") showError(error);
    else showConnection(connection.phase, `${PHASES[connection.phase]} ${/** @type {Error} */ (error).message}`);
  }
  setTimeout(refreshModels, models.busy ? BUSY_REFRESH_MS : MODELS_REFRESH_MS);
}

ui.talk.addEventListener("click", () => void act(talk));
ui.disconnect.addEventListener("click", () => void act(disconnect));
element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  void act(say);
});
ui.interrupt.addEventListener("click", () => {
  sound.player?.pause(); // silence now; the server's stop empties the queue
  connection.send({ type: "interrupt" });
});
ui.mute.addEventListener("click", () => {
  sound.mute(!sound.muted);
  showControls();
});
ui.key.addEventListener("change", () => {
  connection.key = ui.key.value.trim();
  sessionStorage.setItem(KEY, connection.key);
});
connection.key = sessionStorage.getItem(KEY) ?? "";
ui.key.value = connection.key;
showControls();
void attempt(async () => {
  await devices.refresh();
  await playThrough();
});
void refreshModels();
