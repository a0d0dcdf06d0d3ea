// The view that listens: microphone in, growing text out, and nothing that was spoken is lost.

import { Dictation } from "./dictation.js";
import { Draft } from "./draft.js";
import { offer } from "./downloads.js";
import * as history from "./history.js";
import { historyView } from "./historyview.js";
import { MicrophoneError, openMicrophone } from "./microphone.js";
import { Refused } from "./server.js";
import { Sheet } from "./sheet.js";
import { clock, complain, latency, onLanguage, say, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const SHEET = "lingting-sheet";
const PACKET_SECONDS = 0.2;
const RATE = 16000;
const SPEECH_LEVEL = 0.015;
const SILENT_LEVEL = 0.0005;
const SILENT_AFTER = 60; // levels, 50 ms each
const BEHIND = 10;
const SMOOTHING = 0.3;

const player = $("speak-player");
const sheet = new Sheet($("transcript"), $("paragraphs"), $("spoken"), (sample) => play(sample));
const earlier = historyView({ open: (text) => reopen(text), removed: (id) => removed(id) });

let session = null;
let owner = "";
let draft = null; // the text on the sheet
let live = null; // the work in progress: a Recording
let source = null; // object URL of the sound

export const speakView = {
  async begin(given) {
    session = given;
    owner = `${given.tenant}/${given.owner}`;
    put(new Draft(owner));
    say($("speak-status"), "speak_ready");
    earlier.show(owner);
    const last = sessionStorage.getItem(SHEET);
    const found = last && (await history.list(owner)).find((text) => text.id === last);
    if (found && draft?.empty && !live) await reopen(found);
  },
  end() {
    drop();
    sessionStorage.removeItem(SHEET);
    draft = null;
    put(new Draft(owner));
    say($("speak-error"), "");
    earlier.hide();
  },
  shown(visible) {
    if (!visible) player.pause();
  },
};

// -- recording --------------------------------------------------------------------------------------------------------

class Recording {
  /** `base` is the sample of the draft's sound at which it begins. */
  constructor(base) {
    this.packets = 0;
    this.loud = this.silent = 0;
    this.speechAt = this.stoppedAt = null;
    this.reply = null;
    this.notice = this.trouble = "";
    this.dictation = new Dictation(
      { key: session.key, headers: options(), longest: session.limits.stream_max_seconds, base },
      {
        piece: (text, start, end) => this.piece(text, start, end),
        guess: (text, start) => this.guess(text, start),
        boundary: (sample) => draft.confirm(sample),
        answer: (milliseconds) => this.answered(milliseconds),
        trouble: (error, opened) => this.waits(error, opened),
        well: () => this.well(),
      },
    );
    this.dictation.finished.then(
      () => this.finished(),
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
    this.dictation.abort();
  }

  stop(notice = "") {
    if (this.stoppedAt !== null || live !== this) return;
    this.stoppedAt = performance.now();
    this.notice = notice;
    this.stopMicrophone();
    state("finishing");
    level(0);
    this.tick();
  }

  packet(pcm, last) {
    if (live !== this) return;
    this.packets++;
    draft.hear(pcm);
    this.dictation.push(pcm, last);
  }

  level(rms) {
    if (live !== this || this.stoppedAt !== null) return;
    level(Math.min(1, Math.sqrt(rms) * 1.8));
    this.loud = rms > SPEECH_LEVEL ? this.loud + 1 : 0;
    this.silent = rms < SILENT_LEVEL ? this.silent + 1 : 0;
    if (this.speechAt === null && this.loud === 2) this.speechAt = performance.now() - 100;
  }

  tick() {
    const recording = this.stoppedAt === null;
    if (recording) time((performance.now() - this.startedAt) / 1000);
    const behind = this.dictation.behind;
    $("speak-status").classList.toggle("waits", Boolean(this.trouble));
    if (this.trouble) say($("speak-status"), recording ? this.trouble : `${this.trouble}_stopped`);
    else if (behind > BEHIND) say($("speak-status"), "speak_behind", { seconds: Math.ceil(behind * PACKET_SECONDS) });
    else if (!recording) say($("speak-status"), "speak_finishing");
    else if (this.silent > SILENT_AFTER) say($("speak-status"), "speak_quiet");
    else say($("speak-status"), "speak_listening");
  }

  /** A packet has to wait: says why, in words that a person understands. */
  async waits(error, opened) {
    const slow = error.status === 429 && opened;
    const trouble = error.words === "no_answer" ? "speak_away" : slow ? "" : TROUBLE[error.words] ?? "speak_failing";
    if (error.words === "busy") {
      this.trouble ||= trouble; // what is said already stays until it is known why
      const why = (await stopping()) ? "speak_draining" : trouble;
      this.trouble &&= why;
    } else {
      this.trouble = trouble;
    }
    if (this.stoppedAt !== null && live === this) state("waiting");
  }

  well() {
    this.trouble = "";
    if (this.stoppedAt !== null && live === this) state("finishing");
  }

  answered(milliseconds) {
    this.reply = this.reply === null ? milliseconds : this.reply + SMOOTHING * (milliseconds - this.reply);
    $("reply-time").textContent = latency(this.reply / 1000);
  }

  piece(text, start, end) {
    this.first(text);
    draft.write(text, start, end);
    sheet.add(text, start, end);
    controls();
  }

  guess(text, start) {
    this.first(text);
    sheet.guess(text, start);
    controls();
  }

  first(text) {
    if (!text || this.seen || this.speechAt === null) return;
    this.seen = true;
    $("first-text").textContent = latency((performance.now() - this.speechAt) / 1000);
  }

  finished() {
    if (live !== this) return;
    this.over();
    $("final-text").textContent = latency((performance.now() - this.stoppedAt) / 1000);
    if (this.notice) say($("speak-error"), this.notice);
    if (draft.pieces.length) say($("speak-status"), "speak_done", { seconds: Math.round(draft.text.samples / RATE) });
    else say($("speak-status"), "speak_nothing");
  }

  failed(error) {
    if (live !== this) return;
    this.close();
    this.over();
    say($("speak-status"), "speak_ready");
    if (!(error instanceof Refused)) throw error;
    complain($("speak-error"), error);
  }

  over() {
    clearInterval(this.timer);
    live = null;
    sheet.guess("");
    level(0);
    state("idle");
    draft.save();
    sounds();
    earlier.show(owner);
  }
}

const TROUBLE = { busy: "speak_busy", too_many: "speak_full" };

/** Whether the server says that it stops or starts. */
async function stopping() {
  try {
    const { status } = await (await fetch("/readyz", { cache: "no-store" })).json();
    return status === "draining" || status === "loading";
  } catch {
    return true;
  }
}

async function start() {
  say($("speak-error"), "");
  figures();
  silence();
  state("asking");
  say($("speak-status"), "speak_asking");
  const recording = (live = new Recording(draft.next));
  try {
    await recording.open();
  } catch (error) {
    if (live !== recording) return;
    live = null;
    state("idle");
    say($("speak-status"), "speak_ready");
    if (!(error instanceof MicrophoneError)) throw error;
    say($("speak-error"), error.words);
    return;
  }
  if (live !== recording) return recording.close();
  const rest = draft.unheard ? draft.rest(draft.next) : [];
  rest.forEach((pcm) => recording.dictation.push(pcm, false));
  draft.begin();
  sessionStorage.setItem(SHEET, draft.id);
  sheet.takes = draft.text.takes;
  state("live");
  recording.tick();
}

/** Recognises the sound that has no text yet. */
function finishRest() {
  say($("speak-error"), "");
  const from = draft.text.boundary;
  const recording = (live = new Recording(from));
  recording.stoppedAt = performance.now();
  recording.timer = setInterval(() => recording.tick(), 200);
  state("finishing");
  const packets = draft.rest(from);
  packets.forEach((pcm, index) => recording.dictation.push(pcm, index === packets.length - 1));
}

function drop() {
  const recording = live;
  live = null;
  recording?.close();
  draft?.save();
  state("idle");
}

// -- the sheet --------------------------------------------------------------------------------------------------------

/** Shows a draft in place of the one on the sheet. */
function put(next) {
  draft = next;
  sheet.show(draft);
  figures();
  time(0);
  sounds();
  state("idle");
}

async function reopen(text) {
  if (live) return;
  const sound = await history.soundOf(text.id);
  // what was spoken last may be there without having been counted
  const samples = sound.reduce((end, { start, pcm }) => Math.max(end, start + pcm.byteLength / 2), 0);
  draft?.save();
  put(new Draft(owner, { ...text, samples: Math.max(text.samples, samples) }, sound));
  sessionStorage.setItem(SHEET, draft.id);
  say($("speak-error"), "");
  say($("speak-status"), "speak_ready");
}

/** Begins a new text; the old one can be had again. */
function putAway() {
  const old = draft;
  old.save();
  clean();
  $("undo").hidden = false;
  $("undo").onclick = () => {
    put(old);
    sessionStorage.setItem(SHEET, old.id);
  };
  $("undo").focus();
  earlier.show(owner);
}

function clean() {
  put(new Draft(owner));
  sessionStorage.removeItem(SHEET);
  say($("speak-status"), "speak_ready");
  say($("speak-error"), "");
}

/** A text was deleted, perhaps the one on the sheet. */
function removed(id) {
  if (id !== draft.id) return;
  draft.forget();
  clean();
}

/** Makes the sound of the draft playable, or says how much of it was never recognised. */
function sounds() {
  silence();
  if (!live && !draft.empty && draft.sound.length) {
    source = URL.createObjectURL(draft.wav());
    player.src = source;
    player.hidden = false;
  }
}

function silence() {
  player.pause();
  player.hidden = true;
  if (source) {
    player.removeAttribute("src");
    URL.revokeObjectURL(source);
  }
  source = null;
}

function play(sample) {
  if (!source) return;
  player.currentTime = sample / RATE;
  player.play().catch(() => {});
}

function controls() {
  const shown = Boolean(sheet.text) || sheet.guessed !== null;
  $("speak-empty").hidden = shown;
  $("legend").hidden = !live;
  $("copy").disabled = !sheet.text;
  $("new").disabled = Boolean(live) || draft.empty;
  $("speak-downloads").hidden = draft.empty || Boolean(live);
  if (live || !draft.empty) $("undo").hidden = true;
  $("speak-rest").hidden = Boolean(live) || draft.empty || !draft.unheard;
  say($("speak-rest-words"), "speak_rest", { seconds: Math.round(draft.unheard / RATE) });
}

function figures() {
  for (const id of ["reply-time", "first-text", "final-text"]) $(id).textContent = "–";
}

function state(name) {
  const record = $("record");
  record.dataset.state = name;
  // not disabled: that would take the focus away from who works by keyboard
  record.setAttribute("aria-disabled", String(name === "asking" || name === "finishing"));
  say(record, { idle: "start", asking: "start", live: "stop", finishing: "finishing", waiting: "stop_waiting" }[name]);
  $("mic-on").hidden = name !== "live";
  if (name !== "live") document.title = TITLE;
  if (name === "idle") $("speak-status").classList.remove("waits");
  $("speak-options").disabled = $("history").inert = name !== "idle";
  controls();
}

const TITLE = document.title;

function time(seconds) {
  $("clock").textContent = clock(seconds);
  $("mic-clock").textContent = clock(seconds);
  if (live?.stopMicrophone) document.title = `● ${clock(seconds)} ${TITLE}`;
}

function level(share) {
  $("level").style.transform = `scaleX(${share})`;
}

/** Headers of the packet that opens a stream. */
function options() {
  const given = {};
  const wanted = $("speak-hot-words").value.trim();
  const language = $("speak-language").value;
  if (wanted) given["hot-words"] = encodeURIComponent(wanted);
  if (language) given.language = language;
  return given;
}

$("record").addEventListener("click", () => {
  if ($("record").ariaDisabled === "true") return;
  if (!live) return start();
  if (live.stoppedAt === null) return live.stop();
  const recording = live; // nobody waits for a server any longer; what it did not hear is kept
  recording.close();
  recording.over();
  say($("speak-status"), "speak_ready");
});
$("new").addEventListener("click", () => putAway());
$("speak-rest-button").addEventListener("click", finishRest);
$("copy").addEventListener("click", async () => {
  let said = "copied";
  try {
    await navigator.clipboard.writeText(sheet.text);
  } catch {
    said = selectAll() && document.execCommand("copy") ? "copied" : "copy_failed";
  }
  say($("copy"), said);
  setTimeout(() => say($("copy"), "copy"), 2000);
});
offer($("speak-downloads"), ["txt", "srt", "vtt", "wav"], () => {
  const began = new Date(draft.text.began - 60000 * new Date().getTimezoneOffset());
  return {
    name: began.toISOString().slice(0, 16).replace("T", " ").replace(":", "."),
    paragraphs: draft.paragraphs().map(({ text }) => text),
    sentences: draft.sentences(),
    wav: () => draft.wav(),
  };
});
window.addEventListener("beforeunload", (event) => live && event.preventDefault());
window.addEventListener("pagehide", () => {
  draft?.save();
  live?.close();
});
onLanguage(() => draft && controls());

function selectAll() {
  const range = document.createRange();
  range.selectNodeContents($("paragraphs"));
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  return true;
}
