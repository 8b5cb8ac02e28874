// @ts-check
/** The page: wires the parts together. */

import { Latency } from "./latency.js";
import { Link } from "./link.js";
import { Microphone } from "./microphone.js";
import { Models } from "./models.js";
import { Player } from "./player.js";
import { encodePcm, SAMPLE_RATE_HZ } from "./protocol.js";
import { Transcript } from "./transcript.js";
import { VoiceMeter } from "./voice-meter.js";

const MODELS_REFRESH_MS = 3000;
const KEY = "voiceplane.key";
const PHASES = { closed: "Not connected", connecting: "Connecting…", ready: "Connected", waiting: "Reconnecting…" };
const STATES = { listening: "Listening", thinking: "Thinking", speaking: "Speaking", paused: "Paused", no_worker: "No worker" };

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const ui = {
  talk: /** @type {HTMLButtonElement} */ (element("talk")),
  mute: /** @type {HTMLButtonElement} */ (element("mute")),
  interrupt: /** @type {HTMLButtonElement} */ (element("interrupt")),
  text: /** @type {HTMLInputElement} */ (element("text")),
  key: /** @type {HTMLInputElement} */ (element("key")),
};
/** Counts for whoever wants to know what really happened; nothing here reads them. */
const stats = { played: 0, loudest: 0, underruns: 0, dropped: 0, microphoneChunks: 0, microphoneLoudest: 0, voiceNow: 0 };
Object.assign(window, { voiceplane: { stats } });

const transcript = new Transcript(element("transcript"));
const latency = new Latency(element("latency"));
const connection = new Link(
  { onPhase, onEvent, onVoice, onNetwork, onTransport, onFrame: (frame) => player?.push(frame) },
  new URLSearchParams(location.search).get("transport") ?? "",
);
const meter = new VoiceMeter((peak) => {
  Object.assign(stats, { voiceNow: peak, loudest: Math.max(stats.loudest, peak) });
  showLevel("output-level", peak);
});
const models = new Models(
  { model: element("model"), voice: element("voice"), state: element("residency") },
  (choice) => {
    wanted = choice;
    connection.send({ type: "select", ...choice });
  },
);
/** @type {{model: string, voice: string} | null} what was chosen before there was a session to tell */
let wanted = null;
/** @type {AudioContext | null} */
let context = null;
/** @type {Player | null} */
let player = null;
/** @type {Microphone | null} */
let microphone = null;
/** @type {import("./player-queue.js").Cursor | null} */
let reported = null;
/** @type {string[]} texts that were sent to be spoken, and whose utterance has not begun */
let pendingTexts = [];
let muted = false;
let busy = false;

/** @param {unknown} problem */
function showError(problem) {
  const message = problem instanceof Error ? problem.message : String(problem);
  const box = element("error");
  box.hidden = !message;
  box.textContent = message;
}

/** @param {string} phase @param {string} text */
function showConnection(phase, text) {
  const status = element("connection");
  status.dataset.phase = phase;
  if (status.textContent !== text) status.textContent = text;
}

/** @param {string} id @param {number} peak */
function showLevel(id, peak) {
  const decibels = 20 * Math.log10(Math.max(peak, 1e-4));
  element(id).style.transform = `scaleX(${Math.max(0, 1 + decibels / 60).toFixed(2)})`;
}

/** @param {import("./connection.js").Phase} phase @param {string} reason */
function onPhase(phase, reason) {
  showConnection(phase, reason ? `${PHASES[phase]} ${reason}` : PHASES[phase]);
  ui.interrupt.disabled = phase !== "ready";
  if (phase !== "ready") player?.reset(0);
  showControls();
  if (phase === "closed" && reason) showError(reason);
}

/** @param {string} name @param {string} reason why it is not the better one */
function onTransport(name, reason) {
  element("transport").textContent = reason ? `${name}, because ${reason}` : name;
  element("network").hidden = true;
}

/** @param {MediaStreamTrack | null} track */
function onVoice(track) {
  if (context) meter.follow(context, track);
}

/** @param {{jitterMs: number, lossPercent: number, roundTripMs: number}} network */
function onNetwork({ jitterMs, lossPercent, roundTripMs }) {
  element("network").hidden = false;
  element("network").textContent =
    `Network: jitter ${jitterMs.toFixed(0)} ms, loss ${lossPercent.toFixed(1)}%, round trip ${roundTripMs.toFixed(0)} ms`;
}

function showControls() {
  const talking = microphone !== null;
  ui.talk.textContent = talking ? "Stop" : "Talk";
  ui.talk.dataset.active = String(talking);
  ui.talk.disabled = busy;
  ui.mute.disabled = !talking;
  ui.mute.textContent = muted ? "Unmute" : "Mute";
  ui.mute.setAttribute("aria-pressed", String(muted));
}

/** @param {{type: string, [field: string]: any}} event */
function onEvent(event) {
  switch (event.type) {
    case "ready":
      showError("");
      transcript.begin();
      reported = null;
      player?.reset(event.epoch);
      if (wanted) connection.send({ type: "select", ...wanted });
      else models.select(event);
      for (const text of pendingTexts) connection.send({ type: "say", text });
      break;
    case "state":
      showConnection(
        event.state === "no_worker" ? "waiting" : "ready",
        [STATES[/** @type {keyof STATES} */ (event.state)] ?? event.state, event.reason].filter(Boolean).join(": "),
      );
      break;
    case "partial":
      transcript.partial(/** @type {any} */ (event));
      break;
    case "transcript":
      transcript.final(/** @type {any} */ (event));
      break;
    case "utterance":
      transcript.utterance(/** @type {any} */ (event), pendingTexts.shift() ?? "");
      if (event.fallback) transcript.note(`${event.model} speaks meanwhile: ${event.reason}`);
      break;
    case "pause":
      player?.pause();
      break;
    case "resume":
      player?.resume();
      break;
    case "stop":
      player?.stop(event.epoch);
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
function onMicrophone(samples) {
  const peak = samples.reduce((loudest, value) => Math.max(loudest, Math.abs(value)), 0);
  showLevel("input-level", peak);
  stats.microphoneLoudest = peak;
  if (connection.sendAudio(encodePcm(samples))) stats.microphoneChunks += 1;
}

/** A browser lets sound begin in answer to a gesture only, so the context is made then. */
async function openAudio() {
  context ??= new AudioContext({ sampleRate: SAMPLE_RATE_HZ, latencyHint: "interactive" });
  await context.resume();
  player ??= await Player.create(context, onPlayed);
  return context;
}

async function talk() {
  if (microphone) {
    microphone.close();
    microphone = null;
    showLevel("input-level", 0);
    await connection.speakInto(null);
    connection.close();
    return;
  }
  microphone = await Microphone.open(await openAudio(), onMicrophone);
  microphone.mute(muted);
  await connection.speakInto(microphone.track);
  if (connection.phase === "closed") connection.open(); // a typed text may have opened it
}

async function say() {
  const text = ui.text.value.trim();
  if (!text) return;
  await openAudio();
  ui.text.value = "";
  pendingTexts = [text]; // a new text stops the one before
  if (connection.phase === "ready") connection.send({ type: "say", text });
  else if (connection.phase === "closed") connection.open();
}

/** @param {() => Promise<void>} action */
async function attempt(action) {
  if (busy) return;
  busy = true;
  showControls();
  try {
    showError("");
    await action();
  } catch (error) {
    showError(error);
  } finally {
    busy = false;
    showControls();
  }
}

async function refreshModels() {
  try {
    if (!document.hidden) await models.refresh(connection.key);
  } catch (error) {
    if (connection.phase === "ready") showError(error);
    else showConnection(connection.phase, `${PHASES[connection.phase]} ${/** @type {Error} */ (error).message}`);
  }
  setTimeout(refreshModels, MODELS_REFRESH_MS);
}

ui.talk.addEventListener("click", () => void attempt(talk));
element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(say);
});
ui.interrupt.addEventListener("click", () => {
  player?.pause(); // silence now; the server's stop empties the queue
  connection.send({ type: "interrupt" });
});
ui.mute.addEventListener("click", () => {
  muted = !muted;
  microphone?.mute(muted);
  showControls();
});
ui.key.addEventListener("change", () => {
  connection.key = ui.key.value.trim();
  sessionStorage.setItem(KEY, connection.key);
});
connection.key = sessionStorage.getItem(KEY) ?? "";
ui.key.value = connection.key;
showControls();
void refreshModels();
