// @ts-check
/** The models and voices that can be chosen, and how far each is from being spoken with. */

/** @typedef {{worker: string, state: string, availability?: string, reason: string, message: string, fetched_bytes?: number, fetch_bytes?: number, fetch_bytes_per_s?: number}} Place */
/** @typedef {{id: string, is_default: boolean, voices: {name: string, language: string}[], workers: Place[]}} Model */
/** @typedef {{state: string, detail: string, share: number | null}} Residency share: of what is fetched, 0 to 1, if known */

// The best that a worker offers stands for the model.
const ORDER = ["resident", "warming", "loading", "fetching", "draining", "failed", "absent"];
const ON_THE_WAY = ["warming", "loading", "fetching"];
const WORDS = { absent: "not loaded", never: "can't be loaded here" };
const MEGABYTE = 1_000_000;
const TICK_MS = 1000;

/** @param {Place} place */
function fetched({ fetched_bytes: done = 0, fetch_bytes: total = 0, fetch_bytes_per_s: rate = 0 }) {
  if (!done && !total) return { detail: "", share: null };
  const megabytes = (/** @type {number} */ bytes) => Math.ceil(bytes / MEGABYTE);
  const speed = rate ? `, ${megabytes(rate)} MB/s` : "";
  if (!total) return { detail: `${megabytes(done)} MB${speed}`, share: null };
  return { detail: `${megabytes(done)} of ${megabytes(total)} MB${speed}`, share: Math.min(1, done / total) };
}

/**
 * @param {Model} model
 * @returns {Residency}
 */
export function residency(model) {
  const rank = ({ state = "", availability = "" }) => // unknown ones last, and after them what can never be loaded
    availability === "never" ? ORDER.length + 1 : (ORDER.indexOf(state) + ORDER.length + 1) % (ORDER.length + 1);
  const [place] = [...model.workers].sort((a, b) => rank(a) - rank(b));
  if (!place) return { state: "no worker", detail: "", share: null };
  const { state, message, reason } = place;
  if (place.availability === "never") return { state: "never", detail: message || reason, share: null };
  if (state === "failed") return { state, detail: message || reason, share: null };
  return state === "fetching" ? { state, ...fetched(place) } : { state, detail: "", share: null };
}

/** @param {string} state */
const inWords = (state) => WORDS[/** @type {keyof WORDS} */ (state)] ?? state;

export class Models {
  /**
   * @param {{model: HTMLSelectElement, voice: HTMLSelectElement, state: HTMLElement, elapsed: HTMLElement, progress: HTMLProgressElement}} elements
   * @param {(choice: {model: string, voice: string}) => void} onSelect
   */
  constructor({ model, voice, state, elapsed, progress }, onSelect) {
    this._model = model;
    this._voice = voice;
    this._state = state;
    this._elapsed = elapsed;
    this._progress = progress;
    /** @type {Model[]} */
    this._models = [];
    this._signature = "";
    this._shown = "";
    this._since = 0;
    model.addEventListener("change", () => {
      this._showVoices("");
      onSelect({ model: model.value, voice: "" });
    });
    voice.addEventListener("change", () => onSelect({ model: model.value, voice: voice.value }));
    setInterval(() => this._showElapsed(), TICK_MS);
  }

  /** Whether a model is on its way, so that the next news come soon. */
  get busy() {
    return this._models.some((model) => ON_THE_WAY.includes(residency(model).state));
  }

  /** @param {string} key */
  async refresh(key) {
    const headers = key ? { Authorization: `Bearer ${key}` } : undefined;
    const answer = await fetch("v1/models", { headers, signal: AbortSignal.timeout(5000) });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error?.message ?? `the models cannot be listed: HTTP ${answer.status}`);
    this.show(body.models);
  }

  /** @param {Model[]} models */
  show(models) {
    this._models = models;
    const signature = JSON.stringify(models.map((model) => [model.id, residency(model).state, model.voices]));
    if (signature !== this._signature) { // an open list must not jump
      this._signature = signature;
      const { value } = this._model;
      this._model.replaceChildren(
        new Option("Server's choice", ""),
        ...models.map((model) => {
          const { state, detail } = residency(model);
          const option = new Option(`${model.id} — ${inWords(state)}`, model.id);
          option.disabled = state === "never";
          option.title = option.disabled ? detail : "";
          return option;
        }),
      );
      this._model.value = models.some((model) => model.id === value) ? value : "";
      this._showVoices(this._voice.value);
    }
    this._showState();
  }

  /** @param {{model: string, voice: string}} selected */
  select({ model, voice }) {
    this._model.value = model;
    if (this._model.selectedIndex < 0) this._model.value = "";
    this._showVoices(voice);
  }

  /** @param {string} voice */
  _showVoices(voice) {
    const voices = this._models.find(({ id }) => id === this._model.value)?.voices ?? [];
    this._voice.replaceChildren(
      new Option("Model's own", ""),
      ...voices.map(({ name, language }) => new Option(language ? `${name} (${language})` : name, name)),
    );
    this._voice.value = voices.some(({ name }) => name === voice) ? voice : "";
    this._voice.disabled = voices.length === 0;
    this._showState();
  }

  /** Of the chosen model, or of what the server would take. */
  _showState() {
    const { value } = this._model;
    const model = this._models.find(({ id, is_default }) => (value ? id === value : is_default));
    const { state, detail, share } = model ? residency(model) : { state: "", detail: "", share: null };
    const shown = `${model?.id} ${state}`;
    if (shown !== this._shown) this._since = performance.now();
    this._shown = shown;
    const stays = ["failed", "never"].includes(state);
    const text = stays && detail ? `${inWords(state)}: ${detail}` : inWords(state);
    this._state.dataset.state = ON_THE_WAY.includes(state) ? "loading" : state === "never" ? "failed" : state;
    if (this._state.textContent !== text) this._state.textContent = text;
    this._progress.hidden = !ON_THE_WAY.includes(state);
    if (share === null) this._progress.removeAttribute("value");
    else this._progress.value = share;
    this._elapsed.dataset.detail = stays ? "" : detail;
    this._showElapsed();
  }

  /** How long a phase has lasted while this page looked: beside the state, since that is read aloud when it changes. */
  _showElapsed() {
    this._elapsed.hidden = this._progress.hidden;
    const seconds = Math.round((performance.now() - this._since) / 1000);
    this._elapsed.textContent = [this._elapsed.dataset.detail, `${seconds} s`].filter(Boolean).join(", ");
  }
}
