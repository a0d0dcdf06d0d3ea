// A text that is spoken piece by piece, with its sound: what the sheet of the Speak view shows, and what is kept.

import * as history from "./history.js";

const RATE = 16000;
const PARAGRAPH_PAUSE_MS = 2000;
const PARAGRAPH_LENGTH = 280;
const SAVE_MS = 1000;
const UNHEARD = RATE / 2;

export class Draft {
  /** A new text, or one of the history (`found`, and its `sound`). Times are samples of its own sound. */
  constructor(owner, found = null, sound = []) {
    const random = crypto.getRandomValues(new Uint32Array(2)).join("");
    this.text = found ?? { id: random, owner, began: Date.now(), samples: 0, boundary: 0, pieces: [], takes: [] };
    this.sound = sound; // [{ start, pcm }] in order
    this.timer = 0;
  }

  get id() {
    return this.text.id;
  }

  get empty() {
    return this.text.samples === 0;
  }

  get pieces() {
    return this.text.pieces;
  }

  /** Samples behind the last final text that were never recognised; a moment of it counts for nothing. */
  get unheard() {
    const samples = this.text.samples - this.text.boundary;
    return samples < UNHEARD ? 0 : samples;
  }

  /** The sample at which recognition goes on. */
  get next() {
    return this.unheard ? this.text.boundary : this.text.samples;
  }

  /** Somebody begins to speak again: a new paragraph, behind all sound so far. */
  begin() {
    this.text.takes.push(this.text.samples);
    this.save();
    history.prune(this.id);
  }

  hear(pcm) {
    if (pcm.byteLength === 0) return;
    this.sound.push({ start: this.text.samples, pcm });
    history.keepSound(this.id, this.text.samples, pcm);
    this.text.samples += pcm.byteLength / 2;
    this.later();
  }

  write(text, start, end) {
    this.text.pieces.push({ text, start, end });
    this.later();
  }

  confirm(boundary) {
    this.text.boundary = boundary;
    this.later();
  }

  later() {
    this.timer ||= setTimeout(() => this.save(), SAVE_MS);
  }

  /** It was deleted: nothing of it is kept any more. */
  forget() {
    this.forgotten = true;
  }

  save() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.empty && !this.forgotten) history.keep(structuredClone(this.text));
  }

  /** The sound from a sample on, as packets. */
  rest(from) {
    return this.sound
      .filter(({ start, pcm }) => start + pcm.byteLength / 2 > from)
      .map(({ start, pcm }) => pcm.slice(2 * Math.max(0, from - start)));
  }

  /** Sentences for files: text and times in milliseconds. */
  sentences() {
    const ms = (samples) => Math.round((samples * 1000) / RATE);
    return this.pieces.map(({ text, start, end }) => ({ text: text.trim(), begin_time: ms(start), end_time: ms(end) }));
  }

  paragraphs() {
    return paragraphs(this.pieces, this.text.takes);
  }

  /** The recording as a WAV file. */
  wav() {
    return new Blob([header(this.text.samples), ...this.sound.map(({ pcm }) => pcm)], { type: "audio/wav" });
  }
}

/** Whether a piece begins a new paragraph behind what stands there. */
export function breaks(paragraph, start, takes) {
  if (!paragraph) return true;
  const pause = ((start - paragraph.end) * 1000) / RATE;
  const length = Array.from(paragraph.text).reduce((sum, each) => sum + (each > "\u2e7f" ? 2 : 1), 0);
  return (
    pause >= PARAGRAPH_PAUSE_MS ||
    length > 2 * PARAGRAPH_LENGTH ||
    takes.some((take) => take > paragraph.start && take <= start)
  );
}

/** Two texts one behind the other, with a space where both are of Latin letters. */
export function joined(before, after) {
  const apart = /[\p{Script=Latin}\d.,!?;:'"”’…)%]$/u.test(before) && /^[\p{Script=Latin}\d'"“‘($]/u.test(after);
  return before + (apart ? " " : "") + (before ? after : after.trimStart());
}

function paragraphs(pieces, takes) {
  const found = [];
  for (const { text, start, end } of pieces) {
    const last = found.at(-1);
    if (breaks(last, start, takes)) found.push({ text: text.trimStart(), start, end });
    else Object.assign(last, { text: joined(last.text, text), end });
  }
  return found;
}

function header(samples) {
  const view = new DataView(new ArrayBuffer(44));
  const ascii = (at, text) => [...text].forEach((each, index) => view.setUint8(at + index, each.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  ascii(36, "data");
  view.setUint32(40, 2 * samples, true);
  return view.buffer;
}
