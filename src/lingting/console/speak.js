// The view that listens: microphone in, growing text out.

import { MicrophoneError, openMicrophone } from "./microphone.js";
import { Refused } from "./server.js";
import { Stream } from "./stream.js";
import { clock, complain, latency, say, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const PACKET_SECONDS = 0.2;
const SPEECH_LEVEL = 0.015;
const SILENT_LEVEL = 0.0005;
const SILENT_AFTER = 60; // levels, 50 ms each
const BEHIND = 5;
const SMOOTHING = 0.3;

let session = null;
let live = null; // the recording in progress
let text = "";

export const speakView = {
  begin(given) {
    session = given;
    reset();
    say($("speak-status"), "speak_ready");
  },
  end() {
    drop();
    reset();
    say($("speak-error"), "");
  },
  shown() {},
};

async function start() {
  reset();
  say($("speak-error"), "");
  button("asking");
  say($("speak-status"), "speak_asking");
  const recording = (live = new Recording(session));
  try {
    await recording.open();
  } catch (error) {
    if (live !== recording) return;
    live = null;
    button("idle");
    say($("speak-status"), "speak_ready");
    if (!(error instanceof MicrophoneError)) throw error;
    say($("speak-error"), error.words);
    return;
  }
  if (live !== recording) return recording.close();
  button("live");
  say($("speak-status"), "speak_listening");
}

class Recording {
  constructor({ key, limits }) {
    this.longest = limits.stream_max_seconds;
    this.packets = 0;
    this.loud = this.silent = 0;
    this.speechAt = this.stoppedAt = null;
    this.reply = null;
    this.notice = "";
    this.stream = new Stream(key, {
      text: (newer, confirmed, milliseconds) => this.shown(newer, confirmed, milliseconds),
      retrying: (error) => say($("speak-status"), "retrying", { reason: reason(error) }),
    });
    this.stream.ended.then(
      (final) => this.finished(final),
      (error) => this.failed(error),
    );
  }

  async open() {
    this.stopMicrophone = await openMicrophone({
      packet: (pcm, last) => this.packet(pcm, last),
      level: (rms) => this.level(rms),
      lost: () => this.stop("speak_lost"),
    });
    this.timer = setInterval(() => this.tick(), 200);
    this.startedAt = performance.now();
  }

  close() {
    clearInterval(this.timer);
    this.stopMicrophone?.();
    this.stream.abort();
  }

  stop(notice = "") {
    if (this.stoppedAt !== null || live !== this) return;
    this.stoppedAt = performance.now();
    this.notice = notice;
    clearInterval(this.timer);
    this.stopMicrophone();
    button("finishing");
    say($("speak-status"), "speak_finishing");
    level(0);
  }

  packet(pcm, last) {
    if (live !== this) return;
    this.packets++;
    this.stream.push(pcm, last);
    if ((this.packets + 2) * PACKET_SECONDS >= this.longest) this.stop("speak_limit");
  }

  level(rms) {
    if (live !== this || this.stoppedAt !== null) return;
    level(Math.min(1, Math.sqrt(rms) * 1.8));
    this.loud = rms > SPEECH_LEVEL ? this.loud + 1 : 0;
    this.silent = rms < SILENT_LEVEL ? this.silent + 1 : 0;
    if (this.speechAt === null && this.loud === 2) this.speechAt = performance.now() - 100;
  }

  tick() {
    $("clock").textContent = clock((performance.now() - this.startedAt) / 1000);
    if (this.stream.behind > BEHIND) say($("speak-status"), "speak_behind", { count: this.stream.behind });
    else if (this.silent > SILENT_AFTER) say($("speak-status"), "speak_quiet");
    else say($("speak-status"), "speak_listening");
  }

  shown(newer, confirmed, milliseconds) {
    if (live !== this) return;
    if (milliseconds !== null) {
      this.reply = this.reply === null ? milliseconds : this.reply + SMOOTHING * (milliseconds - this.reply);
      $("reply-time").textContent = latency(this.reply / 1000);
    }
    if (newer && !text && this.speechAt !== null) {
      $("first-text").textContent = latency((performance.now() - this.speechAt) / 1000);
    }
    write(newer, confirmed);
  }

  finished(final) {
    if (live !== this) return;
    live = null;
    write(final.text, Infinity);
    $("final-text").textContent = latency((performance.now() - this.stoppedAt) / 1000);
    button("idle");
    if (this.notice) say($("speak-error"), this.notice);
    if (final.text) say($("speak-status"), "speak_done", { seconds: Math.round(this.packets * PACKET_SECONDS) });
    else say($("speak-status"), "speak_nothing");
  }

  failed(error) {
    if (live !== this) return;
    live = null;
    this.close();
    button("idle");
    level(0);
    say($("speak-status"), "speak_ready");
    if (!(error instanceof Refused)) throw error;
    complain($("speak-error"), error);
  }
}

function drop() {
  const recording = live;
  live = null;
  recording?.close();
  button("idle");
}

function write(newer, confirmed) {
  text = newer;
  const characters = Array.from(newer);
  $("confirmed").textContent = characters.slice(0, confirmed).join("");
  $("guess").textContent = confirmed < characters.length ? characters.slice(confirmed).join("") : "";
  $("speak-empty").hidden = Boolean(newer);
  $("speak-text").hidden = !newer;
  $("copy").disabled = !newer;
  $("transcript").scrollTop = $("transcript").scrollHeight;
}

function reset() {
  write("", 0);
  level(0);
  $("clock").textContent = "0:00";
  for (const id of ["reply-time", "first-text", "final-text"]) $(id).textContent = "–";
}

function button(state) {
  const record = $("record");
  record.dataset.state = state;
  record.disabled = state === "asking" || state === "finishing";
  say(record, { idle: "start", asking: "start", live: "stop", finishing: "finishing" }[state]);
}

function level(share) {
  $("level").style.transform = `scaleX(${share})`;
}

function reason(error) {
  return words(error.words, { detail: (error.detail || "–").replace(/[.。]$/, ""), logId: error.logId });
}

$("record").addEventListener("click", () => (live ? live.stop() : start()));
$("copy").addEventListener("click", async () => {
  let said = "copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said = selectAll() && document.execCommand("copy") ? "copied" : "copy_failed";
  }
  say($("copy"), said);
  setTimeout(() => say($("copy"), "copy"), 2000);
});
window.addEventListener("pagehide", () => live?.close());

function selectAll() {
  const range = document.createRange();
  range.selectNodeContents($("speak-text"));
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  return true;
}
