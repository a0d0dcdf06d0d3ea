// A recognised recording: sentences beside a player that follows, words that play, search, and editing in place.

import { clock, words } from "./words.js";

const UNSURE = 0.45;
const marks = typeof Highlight === "function" && CSS.highlights ? CSS.highlights : null;

export class Result {
  /** `player` is an audio element, `list` takes the sentences, `edited()` is told of a change by hand. */
  constructor(player, list, edited) {
    Object.assign(this, { player, list, edited });
    this.frame = 0;
    this.editing = false;
    this.reset();
    player.addEventListener("play", () => (this.frame ||= requestAnimationFrame(() => this.follow())));
    player.addEventListener("seeked", () => this.mark());
    list.addEventListener("click", (event) => this.clicked(event));
    list.addEventListener("input", (event) => this.changed(event.target));
  }

  reset() {
    this.sentences = [];
    this.rows = [];
    this.current = -1;
    this.unsure = marks ? new Highlight() : null;
    marks?.set("unsure", this.unsure);
    marks?.delete("heard");
    this.list.replaceChildren();
  }

  /** Shows sentences from `from` on; those before stand already. */
  add(sentences, from) {
    this.sentences = sentences;
    const fresh = sentences.slice(from).map((sentence) => this.row(sentence));
    this.rows.push(...fresh);
    this.list.append(...fresh.map(({ item }) => item));
  }

  row(sentence) {
    const item = document.createElement("li");
    const time = document.createElement("button");
    time.type = "button";
    time.className = "time";
    time.textContent = clock(sentence.begin_time / 1000);
    const said = document.createElement("p");
    said.className = "said";
    said.textContent = sentence.text;
    if (this.editing) said.contentEditable = "plaintext-only";
    item.append(time, ...speaker(sentence), said);
    const node = said.firstChild;
    for (const { from, to, probability } of node ? sentence.words : []) {
      if (probability < UNSURE) this.unsure?.add(range(node, from, to));
    }
    return { item, time, said };
  }

  clicked(event) {
    const index = this.rows.findIndex(({ item }) => item.contains(event.target));
    if (index < 0) return;
    const { said, time } = this.rows[index];
    const sentence = this.sentences[index];
    if (event.target === time) return this.play(sentence.begin_time);
    if (this.editing || !getSelection().isCollapsed) return;
    const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    const old = caret ? null : document.caretRangeFromPoint?.(event.clientX, event.clientY);
    const offset = said.contains(caret?.offsetNode ?? old?.startContainer ?? null)
      ? (caret?.offset ?? old.startOffset)
      : 0;
    const word = sentence.words.findLast(({ from }) => from <= offset);
    this.play((word ?? sentence).begin_time);
  }

  play(milliseconds) {
    this.player.currentTime = milliseconds / 1000;
    this.player.play().catch(() => {});
    this.mark();
  }

  follow() {
    this.mark();
    this.frame = this.player.paused ? 0 : requestAnimationFrame(() => this.follow());
  }

  /** Marks the sentence and the word that are heard, and keeps them in view while they play. */
  mark() {
    const now = this.player.currentTime * 1000 + 20;
    let current = last(this.sentences, now);
    if (current >= 0 && now > this.sentences[current].end_time + 400) current = -1;
    if (current !== this.current) {
      this.rows[this.current]?.item.removeAttribute("aria-current");
      this.rows[current]?.item.setAttribute("aria-current", "true");
      this.current = current;
      if (current >= 0 && !this.player.paused) this.rows[current].item.scrollIntoView({ block: "nearest" });
    }
    const sentence = this.sentences[current];
    const node = this.rows[current]?.said.firstChild;
    const word = sentence && node && sentence.words[last(sentence.words, now)];
    if (word && word.to <= node.length) marks?.set("heard", new Highlight(range(node, word.from, word.to)));
    else marks?.delete("heard");
  }

  /** Texts become fields, or text again. */
  edit(wanted) {
    this.editing = wanted;
    for (const { said } of this.rows) {
      if (wanted) said.contentEditable = "plaintext-only";
      else said.removeAttribute("contenteditable");
      if (wanted) said.setAttribute("aria-label", words("text_label"));
    }
  }

  changed(said) {
    const index = this.rows.findIndex((row) => row.said === said);
    if (index < 0) return;
    // words whose place in the text is gone no longer count; the sentence keeps its times
    Object.assign(this.sentences[index], { text: said.textContent.replace(/\s+/g, " ").trim(), words: [] });
    this.edited();
  }

  /** Shows only sentences that hold a text; how many. */
  search(text) {
    const wanted = text.trim().toLowerCase();
    let found = 0;
    this.rows.forEach(({ item }, index) => {
      const hit = !wanted || this.sentences[index].text.toLowerCase().includes(wanted);
      item.hidden = !hit;
      found += hit ? 1 : 0;
    });
    return found;
  }
}

/** Who says a sentence, where the server tells speakers apart. */
function speaker(sentence) {
  if (!sentence.speaker) return [];
  const label = document.createElement("span");
  label.className = "speaker";
  label.textContent = sentence.speaker;
  label.title = words("speaker_said", { name: sentence.speaker });
  return [label];
}

/** The last of what is in order of time that has begun. */
function last(timed, now) {
  let [low, high] = [0, timed.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timed[middle].begin_time <= now) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function range(node, from, to) {
  return new StaticRange({ startContainer: node, startOffset: from, endContainer: node, endOffset: Math.min(to, node.length) });
}
