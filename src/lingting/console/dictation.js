// Everything that one person says, over as many streams as it takes: sound is kept until the server has confirmed the
// text of it, so a server that goes away, starts anew or ends a stream costs nothing that was spoken.

import { Stream } from "./stream.js";

export const RATE = 16000;
const SPEECH_LEVEL = 0.01;
const FRUITLESS = 4;
const ROLL_OVER = 0.9;
const INVALID_PARAM = 1040101;

export class Dictation {
  /**
   * `longest` is the most seconds of one stream, `base` the sample at which this dictation begins. Times that `on` gets
   * are samples:
   * `on.piece(text, start, end)`: text that is final now; `on.guess(text, start)`: what may still change;
   * `on.boundary(sample)`: everything before it has its final text; `on.answer(milliseconds)`: a packet took so long;
   * `on.trouble(error, opened)` and `on.well()`: as in Stream.
   */
  constructor({ key, headers, longest, base = 0 }, on) {
    Object.assign(this, { key, headers, longest, on });
    this.boundary = base; // everything before this sample has its final text
    this.end = base; // one past the last sample that was pushed
    this.packets = []; // { pcm, start, end } that are not final yet
    this.sent = base; // one past the last sample that the present stream was given
    this.loud = []; // start samples of packets with a voice in them, not final yet
    this.complete = false; // whether the last packet was pushed
    this.fruitless = 0;
    this.finished = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.finished.catch(() => {});
    this.stream = null;
  }

  /** Packets that wait for an answer. */
  get behind() {
    return this.stream?.behind ?? 0;
  }

  /** Takes sound: 16 kHz 16-bit mono PCM. The last packet ends the dictation; see `finished`. */
  push(pcm, last) {
    const start = this.end;
    this.end += pcm.byteLength / 2;
    const level = loudness(pcm);
    if (level > SPEECH_LEVEL) this.loud.push(start);
    this.packets.push({ pcm, start, end: this.end });
    this.complete ||= last;
    if (this.stream === null) this.open();
    else if (!this.closing) this.forward(pcm, last, level);
  }

  /** Drops what is not final; nothing more is told. */
  abort() {
    this.closed = true;
    this.stream?.abort();
  }

  forward(pcm, last, level = 1) {
    const length = (this.end - this.base) / RATE;
    const full = length + 0.5 >= this.longest || (length > this.longest * ROLL_OVER && level < SPEECH_LEVEL);
    this.closing = last || full;
    this.sent = this.end;
    this.stream.push(pcm, this.closing);
  }

  /** Opens a stream with everything that is not final. */
  open(again = false) {
    this.again = again;
    this.base = this.boundary;
    this.confirmed = 0;
    this.closing = false;
    const stream = (this.stream = new Stream(this.key, this.headers, {
      text: (answer) => stream === this.stream && this.text(answer),
      trouble: (error, opened) => stream === this.stream && this.on.trouble(error, opened),
      well: () => stream === this.stream && this.on.well(),
    }));
    stream.ended.then(
      () => stream === this.stream && this.ended(),
      (error) => stream === this.stream && this.broken(error),
    );
    this.sent = this.base;
    for (const [index, { pcm, start, end }] of this.packets.entries()) {
      const rest = pcm.slice(2 * Math.max(0, this.base - start));
      const last = this.complete && index === this.packets.length - 1;
      const full = (end - this.base) / RATE + 0.5 >= this.longest;
      this.closing = last || full;
      this.sent = end;
      stream.push(rest, this.closing);
      if (this.closing) break;
    }
  }

  text({ text, confirmed, confirmedMs, milliseconds }) {
    if (this.closed) return;
    const characters = Array.from(text);
    const boundary = confirmedMs === null ? this.sent : this.base + Math.round((confirmedMs * RATE) / 1000);
    if (confirmed > this.confirmed) {
      const piece = characters.slice(this.confirmed, confirmed).join("");
      this.on.piece(piece, this.voice(this.boundary, boundary), boundary);
      this.confirmed = confirmed;
      this.fruitless = 0;
    }
    if (boundary > this.boundary) {
      this.boundary = boundary;
      this.packets = this.packets.filter((packet) => packet.end > boundary);
      this.loud = this.loud.filter((start) => start >= boundary);
      this.on.boundary(boundary);
    }
    const guess = characters.slice(confirmed).join("");
    // a stream that goes on where another broke off has heard less for a while: what was guessed then stays so long
    if (guess || !this.again || this.confirmed > 0 || confirmedMs === null) {
      this.on.guess(guess, this.voice(this.boundary, this.end));
    }
    if (milliseconds !== null) this.on.answer(milliseconds);
  }

  voice(from, to) {
    return this.loud.find((start) => start >= from && start < to) ?? from;
  }

  ended() {
    if (this.closed) return;
    if (this.complete && this.packets.length === 0) return this.resolve();
    this.open();
  }

  /** A stream is gone for good. Where another can do its work, that begins with the sound that has no final text. */
  broken(error) {
    if (this.closed) return;
    const gone = this.stream.opened && (error.code === INVALID_PARAM || error.words === "server_failed");
    if (gone && this.fruitless++ < FRUITLESS) return this.open(true);
    this.closed = true;
    this.reject(error);
  }
}

function loudness(pcm) {
  const samples = new Int16Array(pcm);
  let power = 0;
  for (const sample of samples) power += sample * sample;
  return Math.sqrt(power / (samples.length || 1)) / 32768;
}
