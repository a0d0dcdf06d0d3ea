// One stream of stream_recognize, a client like any other: numbered packets, sent again with the same number until
// they arrive. What ends a stream for good is for its owner to mend; see dictation.js.

import { callFailed, Refused, readError, wait } from "./server.js";

const PATH = "/open-apis/speech_to_text/v1/speech/stream_recognize";
const START = 1, CONTINUE = 0, END = 2, ABORT = 3;
const IN_FLIGHT = 3;
const LONGEST_WAIT_MS = 4000;
const ANSWER_MS = 15000;
const FINAL_ANSWER_MS = 180000;

export class Stream {
  /**
   * `headers` go with the packet that opens the stream. `on.text({ text, confirmed, confirmedMs, milliseconds })` gets
   * every newer text: how many of its characters are final, how much sound they cover, and the time of the packet;
   * `on.trouble(error, opened)` comes with each packet that has to wait, `on.well()` with each that got through.
   */
  constructor(key, headers, on) {
    this.key = key;
    this.headers = headers;
    this.on = on;
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    this.id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.queue = [];
    this.number = 0;
    this.flying = 0;
    this.opened = false;
    this.shown = -1;
    this.confirmed = 0;
    this.notBefore = 0;
    this.cancel = new AbortController();
    this.ended = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.ended.catch(() => {});
  }

  /** Packets that have no answer yet. */
  get behind() {
    return this.queue.length + this.flying;
  }

  /** Queues audio: an ArrayBuffer of 16 kHz 16-bit mono PCM. The last packet ends the stream; see `ended`. */
  push(pcm, last) {
    const number = this.number++;
    const action = number === 0 ? START : last ? END : CONTINUE;
    this.queue.push({ number, action, pcm });
    if (last && action === START) this.queue.push({ number: this.number++, action: END, pcm: new ArrayBuffer(0) });
    this.pump();
  }

  /** Drops the stream on the server and here. */
  abort() {
    this.cancel.abort();
    this.queue = [];
    if (this.opened) {
      const packet = { number: this.number, action: ABORT, pcm: new ArrayBuffer(0) };
      fetch(PATH, { ...this.request(packet), keepalive: true }).catch(() => {});
    }
  }

  request({ number, action, pcm }) {
    const headers = { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json; charset=utf-8" };
    const body = JSON.stringify({
      speech: { speech: base64(pcm) },
      config: { stream_id: this.id, sequence_id: number, action, format: "pcm", engine_type: "16k_auto" },
    });
    return { method: "POST", headers: action === START ? { ...this.headers, ...headers } : headers, body };
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

  /** Sends a packet until it is answered; only what no repetition can mend is thrown. */
  async send(packet) {
    const request = this.request(packet);
    for (let attempt = 0; ; attempt++) {
      await this.pause();
      const sent = performance.now();
      let failure;
      try {
        const answer = await this.fetch(request, packet.action === END ? FINAL_ANSWER_MS : ANSWER_MS);
        if (answer.ok) {
          const { data } = await answer.json();
          this.take(packet, data.recognition_text, answer.headers, performance.now() - sent);
          return;
        }
        failure = await readError(answer);
      } catch {
        failure = callFailed();
      }
      if (this.cancel.signal.aborted || !failure.passing) throw failure;
      const pause = failure.wait ? failure.wait * 1000 : Math.min(250 * 2 ** attempt, LONGEST_WAIT_MS);
      this.notBefore = Math.max(this.notBefore, performance.now() + pause);
      this.on.trouble(failure, this.opened);
    }
  }

  /** Waits as long as the server asked for, whichever packet it told. */
  async pause() {
    for (let left; (left = this.notBefore - performance.now()) > 0; ) {
      await wait(left, this.cancel.signal);
      if (this.cancel.signal.aborted) throw callFailed();
    }
  }

  /** `fetch` that gives up after some time, for connections that hang. */
  async fetch(request, milliseconds) {
    const giveUp = new AbortController();
    const stop = () => giveUp.abort();
    const timer = setTimeout(stop, milliseconds);
    this.cancel.signal.addEventListener("abort", stop, { once: true });
    try {
      return await fetch(PATH, { ...request, signal: giveUp.signal });
    } finally {
      clearTimeout(timer);
      this.cancel.signal.removeEventListener("abort", stop);
    }
  }

  take(packet, text, headers, milliseconds) {
    if (this.cancel.signal.aborted) return;
    this.opened = true;
    const ended = packet.action === END;
    const confirmed = ended ? Array.from(text).length : Number(headers.get("X-Lingting-Confirmed") ?? 0);
    if (packet.number > this.shown && confirmed >= this.confirmed) {
      this.shown = packet.number;
      this.confirmed = confirmed;
      const confirmedMs = ended ? null : Number(headers.get("X-Lingting-Confirmed-Ms") ?? 0);
      this.on.text({ text, confirmed, confirmedMs, milliseconds: ended ? null : milliseconds });
    }
    this.on.well();
    if (ended) this.resolve();
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
