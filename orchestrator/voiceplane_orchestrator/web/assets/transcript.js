// @ts-check
/** Who said what, and what of it was heard. */

export class Transcript {
  /** @param {HTMLElement} list */
  constructor(list) {
    this._list = list;
    /** @type {Map<string, HTMLElement>} */
    this._items = new Map();
  }

  /** Another session counts from 1 again. */
  begin() {
    for (const item of this._items.values()) item.dataset.state = ""; // what was open stays as it is
    this._items.clear();
  }

  /** @param {{turn: number, text: string}} event */
  partial({ turn, text }) {
    this._write(`user-${turn}`, "user", text, "partial");
  }

  /** More of what is to be said: appended, so that nothing is read aloud twice. @param {{utterance: number, text: string}} event */
  reply({ utterance, text }) {
    const body = this._items.get(`agent-${utterance}`)?.querySelector("p");
    if (body) body.append(text);
    else this._write(`agent-${utterance}`, "agent", text, "partial");
    this._scroll();
  }

  /** @param {{role: "user" | "agent", turn?: number, utterance?: number, text: string, final: boolean, interrupted: boolean, unheard?: string, replaces?: number | null}} event */
  final(event) {
    if (typeof event.replaces === "number") this._remove(`user-${event.replaces}`);
    const key = event.role === "user" ? `user-${event.turn}` : `agent-${event.utterance}`;
    if (event.role === "user" && event.final && !event.text) return this._remove(key);
    if (!event.text && !event.final) return;
    const body = this._write(key, event.role, event.text, event.final ? "" : "partial");
    if (event.interrupted) this._strike(body, event.unheard ?? "");
  }

  /** @param {string} text */
  note(text) {
    const item = this._item("note");
    item.textContent = text;
  }

  /** Elements, not colour alone, say what was not heard: a screen reader tells it, too. @param {HTMLElement} body @param {string} unheard */
  _strike(body, unheard) {
    if (unheard) {
      const struck = document.createElement("s");
      const label = document.createElement("span");
      label.className = "hidden";
      label.textContent = " Not heard: ";
      struck.textContent = unheard;
      body.append(label, struck);
    }
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = " interrupted";
    body.append(mark);
    this._scroll();
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
    if (body.textContent?.trim() !== text) body.textContent = text;
    this._scroll();
    return body;
  }

  /** @param {string} role */
  _item(role) {
    const item = document.createElement("li");
    item.className = role;
    this._list.append(item);
    this._scroll();
    return item;
  }

  _scroll() {
    this._list.scrollTop = this._list.scrollHeight;
  }

  /** @param {string} key */
  _remove(key) {
    this._items.get(key)?.remove();
    this._items.delete(key);
  }
}
