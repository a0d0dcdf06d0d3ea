// The sheet of the Speak view: paragraphs with their times, and the guess behind them.

import { breaks, joined } from "./draft.js";
import { clock } from "./words.js";

const RATE = 16000;
const NEAR = 48; // pixels from the end within which the reader counts as following

export class Sheet {
  /** `box` scrolls, `list` in it takes the paragraphs, `spoken` is read out; `play(sample)` is a click on a time. */
  constructor(box, list, spoken, play) {
    Object.assign(this, { box, list, spoken, play });
    this.paragraphs = [];
    this.rows = [];
    this.guessed = null;
  }

  /** The whole text, without the guess. */
  get text() {
    return this.paragraphs.map((paragraph) => paragraph.text).join("\n\n");
  }

  /** Shows all of a draft. */
  show(draft) {
    this.takes = draft.text.takes;
    this.paragraphs = draft.paragraphs();
    this.rows = this.paragraphs.map((paragraph) => this.row(paragraph));
    this.guessed = null;
    this.list.replaceChildren(...this.rows.map(({ item }) => item));
    this.spoken.textContent = "";
    this.box.scrollTop = this.box.scrollHeight;
  }

  /** More final text. */
  add(text, start, end) {
    const following = this.following;
    this.clearGuess();
    const last = this.paragraphs.at(-1);
    if (breaks(last, start, this.takes)) this.append({ text: text.trimStart(), start, end });
    else Object.assign(last, { text: joined(last.text, text), end });
    this.rows.at(-1).sure.textContent = this.paragraphs.at(-1).text;
    this.spoken.textContent = text;
    if (following) this.follow();
  }

  /** What may still change; it stands behind the final text. */
  guess(text, start) {
    const following = this.following;
    this.clearGuess();
    if (text) {
      const fresh = breaks(this.paragraphs.at(-1), start, this.takes);
      const row = fresh ? this.row({ text: "", start }) : this.rows.at(-1);
      const before = fresh ? "" : this.paragraphs.at(-1).text;
      row.guess.textContent = joined(before, text).slice(before.length);
      this.guessed = row;
      if (fresh) this.list.append(row.item);
    }
    if (following) this.follow();
  }

  clearGuess() {
    if (this.guessed === null) return;
    if (this.rows.includes(this.guessed)) this.guessed.guess.textContent = "";
    else this.guessed.item.remove();
    this.guessed = null;
  }

  get following() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR;
  }

  follow() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  append(paragraph) {
    this.paragraphs.push(paragraph);
    const row = this.row(paragraph);
    this.rows.push(row);
    this.list.append(row.item);
  }

  row({ text, start }) {
    const item = document.createElement("li");
    const time = document.createElement("button");
    time.type = "button";
    time.className = "time";
    time.textContent = clock(start / RATE);
    time.addEventListener("click", () => this.play(start));
    const words = document.createElement("p");
    const sure = document.createElement("span");
    const guess = document.createElement("span");
    sure.className = "sure";
    guess.className = "guess";
    sure.textContent = text;
    words.append(sure, guess);
    item.append(time, words);
    return { item, sure, guess };
  }
}
