// @ts-check
/** The models and voices that can be chosen, and whether they are resident. */

/** @typedef {{worker: string, state: string, reason: string, message: string}} Place */
/** @typedef {{id: string, is_default: boolean, voices: {name: string, language: string}[], workers: Place[]}} Model */

const ORDER = ["resident", "loading", "failed"]; // the best that a worker offers stands for the model

/**
 * @param {Model} model
 * @returns {{state: string, detail: string}}
 */
export function residency(model) {
  for (const state of ORDER) {
    const place = model.workers.find((candidate) => candidate.state.toLowerCase() === state);
    if (place) return { state, detail: state === "failed" ? place.message || place.reason : "" };
  }
  return { state: model.workers[0]?.state.toLowerCase() ?? "no worker", detail: "" };
}

export class Models {
  /**
   * @param {{model: HTMLSelectElement, voice: HTMLSelectElement, state: HTMLElement}} elements
   * @param {(choice: {model: string, voice: string}) => void} onSelect
   */
  constructor({ model, voice, state }, onSelect) {
    this._model = model;
    this._voice = voice;
    this._state = state;
    /** @type {Model[]} */
    this._models = [];
    this._signature = "";
    model.addEventListener("change", () => {
      this._showVoices("");
      onSelect({ model: model.value, voice: "" });
    });
    voice.addEventListener("change", () => onSelect({ model: model.value, voice: voice.value }));
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
    const signature = JSON.stringify(models.map((model) => [model.id, residency(model), model.voices]));
    if (signature === this._signature) return; // an open list must not jump
    this._signature = signature;
    this._models = models;
    const { value } = this._model;
    this._model.replaceChildren(
      new Option("Server's choice", ""),
      ...models.map((model) => new Option(`${model.id} — ${residency(model).state}`, model.id)),
    );
    this._model.value = models.some((model) => model.id === value) ? value : "";
    this._showVoices(this._voice.value);
  }

  /** @param {{model: string, voice: string}} selected */
  select({ model, voice }) {
    this._model.value = model;
    if (this._model.selectedIndex < 0) this._model.value = "";
    this._showVoices(voice);
  }

  /** @param {string} voice */
  _showVoices(voice) {
    const model = this._models.find(({ id }) => id === this._model.value);
    const voices = model?.voices ?? [];
    this._voice.replaceChildren(
      new Option("Model's own", ""),
      ...voices.map(({ name, language }) => new Option(language ? `${name} (${language})` : name, name)),
    );
    this._voice.value = voices.some(({ name }) => name === voice) ? voice : "";
    this._voice.disabled = voices.length === 0;
    const { state, detail } = model ? residency(model) : { state: "", detail: "" };
    this._state.dataset.state = state;
    this._state.textContent = detail ? `${state}: ${detail}` : state;
  }
}
