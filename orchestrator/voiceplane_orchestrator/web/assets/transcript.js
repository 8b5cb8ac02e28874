// @ts-check
/** Who said what, and what of it was heard. */

/**
 * What of a text was not heard.
 * @param {string} text what was to be said
 * @param {string} heard its beginning
 * @returns {string} empty, too, if `heard` is not how the text begins
 */
export function unheard(text, heard) {
  return text.startsWith(heard) ? text.slice(heard.length) : "";
}

export class Transcript {
  /** @param {HTMLElement} list */
  constructor(list) {
    this._list = list;
    /** @type {Map<string, HTMLElement>} */
    this._items = new Map();
    /** @type {Map<string, string>} */
    this._said = new Map();
  }

  /** Another session counts from 1 again. */
  begin() {
    this._items.clear();
    this._said.clear();
  }

  /** @param {{turn: number, text: string}} event */
  partial({ turn, text }) {
    this._write(`user-${turn}`, "user", text, "partial");
  }

  /** @param {{utterance: number}} event @param {string} text what is to be said, if it is known */
  utterance({ utterance }, text) {
    this._said.set(`agent-${utterance}`, text);
    this._write(`agent-${utterance}`, "agent", text || "…", "partial");
  }

  /** @param {{role: "user" | "agent", turn?: number, utterance?: number, text: string, final: boolean, interrupted: boolean, replaces?: number | null}} event */
  final(event) {
    if (typeof event.replaces === "number") this._remove(`user-${event.replaces}`);
    const key = event.role === "user" ? `user-${event.turn}` : `agent-${event.utterance}`;
    if (event.role === "user" && event.final && !event.text) return this._remove(key);
    if (!event.text && !event.final) return;
    const body = this._write(key, event.role, event.text, event.final ? "" : "partial");
    if (!event.interrupted) return;
    const rest = unheard(this._said.get(key) ?? "", event.text);
    if (rest) {
      const struck = document.createElement("s");
      struck.textContent = rest;
      struck.title = "not heard";
      body.append(struck);
    }
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = " interrupted";
    body.append(mark);
  }

  /** @param {string} text */
  note(text) {
    const item = this._item("note");
    item.textContent = text;
  }

  /** @param {string} key @param {string} role @param {string} text @param {string} state */
  _write(key, role, text, state) {
    let item = this._items.get(key);
    if (!item) {
      item = this._item(role);
      const who = document.createElement("span");
      who.className = "who";
      who.textContent = role === "user" ? "You" : "Voiceplane";
      const body = document.createElement("p");
      item.append(who, body);
      this._items.set(key, item);
    }
    item.dataset.state = state;
    const body = /** @type {HTMLElement} */ (item.querySelector("p"));
    body.textContent = text;
    this._list.scrollTop = this._list.scrollHeight;
    return body;
  }

  /** @param {string} role */
  _item(role) {
    const item = document.createElement("li");
    item.className = role;
    this._list.append(item);
    this._list.scrollTop = this._list.scrollHeight;
    return item;
  }

  /** @param {string} key */
  _remove(key) {
    this._items.get(key)?.remove();
    this._items.delete(key);
  }
}
