// A client of stream_recognize like any other: numbered packets, sent again with the same number until they arrive.

import { callFailed, Refused, readError, wait } from "./server.js";

const PATH = "/open-apis/speech_to_text/v1/speech/stream_recognize";
const START = 1, CONTINUE = 0, END = 2, ABORT = 3;
const IN_FLIGHT = 3;
const GIVE_UP_MS = 40000;
const LONGEST_WAIT_MS = 4000;

export class Stream {
  /** `on.text(text, confirmed, milliseconds)` gets every newer text: its confirmed length and the packet's time. */
  constructor(key, on) {
    this.key = key;
    this.on = on;
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    this.id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.queue = [];
    this.number = 0;
    this.flying = 0;
    this.opened = false;
    this.shown = -1;
    this.confirmed = 0;
    this.cancel = new AbortController();
    this.ended = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.ended.catch(() => {});
  }

  /** Packets that wait to be sent. */
  get behind() {
    return this.queue.length;
  }

  /** Queues audio: an ArrayBuffer of 16 kHz 16-bit mono PCM. The last packet ends the stream; see `ended`. */
  push(pcm, last) {
    const number = this.number++;
    const action = number === 0 ? START : last ? END : CONTINUE;
    this.queue.push(this.packet(number, action, pcm));
    if (last && action === START) this.queue.push(this.packet(this.number++, END, new ArrayBuffer(0)));
    this.pump();
  }

  /** Drops the stream on the server and here. */
  abort() {
    this.cancel.abort();
    this.queue = [];
    if (this.opened) {
      const packet = this.packet(this.number, ABORT, new ArrayBuffer(0));
      fetch(PATH, { ...this.request(packet), keepalive: true }).catch(() => {});
    }
  }

  packet(number, action, pcm) {
    return {
      number,
      action,
      body: JSON.stringify({
        speech: { speech: base64(pcm) },
        config: { stream_id: this.id, sequence_id: number, action, format: "pcm", engine_type: "16k_auto" },
      }),
    };
  }

  request(packet) {
    const headers = { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json; charset=utf-8" };
    return { method: "POST", headers, body: packet.body };
  }

  pump() {
    while (this.queue.length > 0 && this.flying < this.room()) {
      const packet = this.queue.shift();
      this.flying++;
      this.send(packet).then(
        () => {
          this.flying--;
          this.pump();
        },
        (error) => this.fail(error),
      );
    }
  }

  /** The first packet opens the stream and the last one closes it: both travel alone. */
  room() {
    return this.opened && this.queue[0].action !== END ? IN_FLIGHT : 1;
  }

  async send(packet) {
    const began = performance.now();
    for (let attempt = 0; ; attempt++) {
      const sent = performance.now();
      let pause = Math.min(250 * 2 ** attempt, LONGEST_WAIT_MS);
      let failure;
      try {
        const answer = await fetch(PATH, { ...this.request(packet), signal: this.cancel.signal });
        if (answer.ok) {
          const { data } = await answer.json();
          this.take(packet, data.recognition_text, answer.headers, performance.now() - sent);
          return;
        }
        failure = await readError(answer);
        if (!failure.passing) throw failure;
        if (failure.wait) pause = Math.min(failure.wait * 1000, LONGEST_WAIT_MS);
      } catch (error) {
        if (error instanceof Refused && !error.passing) throw error;
        if (this.cancel.signal.aborted) throw error;
        failure = error instanceof Refused ? error : callFailed();
      }
      if (performance.now() + pause - began > GIVE_UP_MS) throw failure;
      this.on.retrying(failure);
      await wait(pause, this.cancel.signal);
    }
  }

  take(packet, text, headers, milliseconds) {
    this.opened = true;
    const confirmed = Number(headers.get("X-Lingting-Confirmed") ?? 0);
    if (packet.number > this.shown && confirmed >= this.confirmed) {
      this.shown = packet.number;
      this.confirmed = confirmed;
      this.on.text(text, confirmed, packet.action === END ? null : milliseconds);
    }
    if (packet.action === END) this.resolve({ text, milliseconds });
  }

  fail(error) {
    this.cancel.abort();
    this.queue = [];
    this.reject(error);
  }
}

function base64(buffer) {
  let binary = "";
  for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
