// @ts-check
/** Which microphone and which loudspeaker: chosen, remembered, and replaced while one is not there. */

/** @typedef {"microphone" | "speaker"} Role */
/** @typedef {{id: string, label: string}} Device an empty id: the browser's choice */

const KINDS = { microphone: "audioinput", speaker: "audiooutput" };
const NOUNS = { microphone: "microphone", speaker: "loudspeaker" };
const ALIASES = ["", "default", "communications"]; // the browser's choice under other names
const HEADPHONES = "voiceplane.headphones";
const BROWSERS_CHOICE = { id: "", label: "" };

/**
 * The devices of a kind; null while the browser does not tell them, which it does once the microphone is allowed.
 * @param {Pick<MediaDeviceInfo, "kind" | "deviceId" | "label">[]} all
 * @param {Role} role
 * @returns {Device[] | null}
 */
export function devicesOf(all, role) {
  const found = all.filter(({ kind }) => kind === KINDS[role]);
  if (found.length > 0 && found.every(({ deviceId }) => !deviceId)) return null;
  return found
    .filter(({ deviceId }) => !ALIASES.includes(deviceId))
    .map(({ deviceId, label }, at) => ({ id: deviceId, label: label || `${NOUNS[role]} ${at + 1}` }));
}

/**
 * What is used for what was chosen.
 * @param {Device} chosen
 * @param {Device[] | null} devices
 * @returns {{id: string, gone: boolean}}
 */
export function settle(chosen, devices) {
  const gone = chosen.id !== "" && devices !== null && !devices.some(({ id }) => id === chosen.id);
  return { id: gone ? "" : chosen.id, gone };
}

/** One of the two pickers. */
class Picker {
  /** @param {Role} role @param {HTMLSelectElement} select @param {(id: string) => unknown} onChange awaited */
  constructor(role, select, onChange) {
    this.used = { id: "", gone: false };
    this._role = role;
    this._select = select;
    this._onChange = onChange;
    this._key = `voiceplane.${role}`;
    /** @type {Device[] | null} */
    this._devices = null;
    /** @type {Device} */
    this._chosen = JSON.parse(localStorage.getItem(this._key) ?? "null") ?? BROWSERS_CHOICE;
    this.used = settle(this._chosen, null);
    select.addEventListener("change", () => void this._choose());
  }

  /** @returns {string} for people; empty if all is well */
  get problem() {
    const { label } = this._chosen;
    return this.used.gone ? `${label} is not connected. Until it is, the browser chooses the ${NOUNS[this._role]}.` : "";
  }

  /** @param {MediaDeviceInfo[]} all */
  async show(all) {
    this._devices = devicesOf(all, this._role);
    this._select.replaceChildren(
      new Option("Browser's choice", ""),
      ...(this._devices ?? []).map(({ id, label }) => new Option(label, id)),
    );
    await this._settle();
  }

  async _choose() {
    this._chosen = this._devices?.find(({ id }) => id === this._select.value) ?? BROWSERS_CHOICE;
    localStorage.setItem(this._key, JSON.stringify(this._chosen));
    await this._settle();
  }

  async _settle() {
    const before = this.used.id;
    this.used = settle(this._chosen, this._devices);
    this._select.value = this.used.id;
    if (this._select.selectedIndex < 0) this._select.value = ""; // chosen earlier, and not told yet
    if (this.used.id !== before) await this._onChange(this.used.id);
  }
}

export class Devices {
  /**
   * @param {{microphone: HTMLSelectElement, speaker: HTMLSelectElement, headphones: HTMLInputElement, note: HTMLElement}} elements
   * @param {Record<Role, (id: string) => unknown>} onChange called with what is used from now on
   */
  constructor({ microphone, speaker, headphones, note }, onChange) {
    this._note = note;
    this._headphones = headphones;
    headphones.checked = localStorage.getItem(HEADPHONES) === "true";
    headphones.addEventListener("change", () => {
      localStorage.setItem(HEADPHONES, String(headphones.checked));
      onChange.microphone(this._pickers.microphone.used.id);
    });
    this._pickers = {
      microphone: new Picker("microphone", microphone, async (id) => {
        this._tell();
        await onChange.microphone(id);
      }),
      speaker: new Picker("speaker", speaker, async (id) => {
        this._tell();
        await onChange.speaker(id);
      }),
    };
    const players = [AudioContext, HTMLMediaElement]; // of frames, and of a track
    const canChoose = players.every(({ prototype }) => "setSinkId" in prototype);
    /** @type {HTMLElement} */ (speaker.parentElement).hidden = !canChoose;
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.refresh());
  }

  /** How the microphone is to be opened. Echo cancellation muffles whoever speaks at the same time as the loudspeaker. */
  get input() {
    return { deviceId: this._pickers.microphone.used.id, echoCancellation: !this._headphones.checked };
  }

  get speaker() {
    return this._pickers.speaker.used.id;
  }

  /** Look what is connected, and notify the users of a device that is gone. */
  async refresh() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    await this._pickers.microphone.show(all);
    await this._pickers.speaker.show(all);
    this._tell();
  }

  _tell() {
    const text = Object.values(this._pickers)
      .map(({ problem }) => problem)
      .filter(Boolean)
      .join(" ");
    if (this._note.textContent !== text) this._note.textContent = text;
  }
}
