// The view that takes a recording: sends it to flash, shows sentences that play, offers downloads.

import { callFailed, explain } from "./server.js";
import { offer } from "./downloads.js";
import { clock, complain, duration, onLanguage, say } from "./words.js";

const PATH = "/v1/audio/asr/flash";
const FORMATS = ["wav", "mp3", "pcm", "flac", "ogg", "opus", "aac", "m4a", "mp4", "amr", "webm"];
const $ = (id) => document.getElementById(id);
const player = $("player");

let session = null;
let running = null; // the XMLHttpRequest in progress
let source = null; // object URL of the recording
let sentences = [];
let rows = [];
let result = null;
let frame = 0;

export const fileView = {
  begin(given) {
    session = given;
    limits();
  },
  end() {
    running?.abort();
    clear();
    say($("file-error"), "");
  },
  shown(visible) {
    if (!visible) player.pause();
  },
};

function take(list) {
  if (!session || list.length === 0) return;
  const file = list[0];
  running?.abort();
  clear();
  say($("file-error"), "");
  const limit = session.limits.flash_max_bytes;
  if (file.size === 0) return say($("file-error"), "empty_file");
  if (file.size > limit) {
    return say($("file-error"), "too_large_here", { megabytes: (file.size / 1e6).toFixed(1), limit: limit / 1e6 });
  }
  source = URL.createObjectURL(file);
  player.src = source;
  send(file, list.length > 1);
}

function send(file, others) {
  const request = (running = new XMLHttpRequest());
  const extension = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : "";
  request.open("POST", PATH);
  request.setRequestHeader("Authorization", `Bearer ${session.key}`);
  if (FORMATS.includes(extension)) request.setRequestHeader("format", extension);
  const wanted = $("hot-words").value.trim();
  if (wanted) request.setRequestHeader("hot-words", encodeURIComponent(wanted));
  request.responseType = "json";
  let uploaded = 0;
  let timer = 0;
  $("progress").hidden = false;
  progress(0);
  say($("file-status"), "uploading", { name: file.name, percent: 0 });
  if (others) say($("file-error"), "one_file", { name: file.name });
  request.upload.onprogress = (event) => {
    const share = event.loaded / event.total;
    progress(share);
    say($("file-status"), "uploading", { name: file.name, percent: Math.floor(share * 100) });
  };
  request.upload.onload = () => {
    uploaded = performance.now();
    progress(null);
    const tick = () => {
      const known = Number.isFinite(player.duration);
      const values = { name: file.name, clock: clock((performance.now() - uploaded) / 1000) };
      if (known) say($("file-status"), "recognising_of", { ...values, length: clock(player.duration) });
      else say($("file-status"), "recognising", values);
    };
    tick();
    timer = setInterval(tick, 500);
  };
  const over = () => {
    clearInterval(timer);
    if (running !== request) return false;
    running = null;
    $("progress").hidden = true;
    return true;
  };
  request.onload = () => {
    if (!over()) return;
    if (request.status === 200 && request.response) return show(file, request.response, uploaded);
    const header = (name) => request.getResponseHeader(name);
    const content = request.response ?? {};
    complain($("file-error"), explain(request.status, content, header("X-Tt-Logid"), header("Retry-After")));
  };
  request.onerror = () => over() && complain($("file-error"), callFailed());
  request.onabort = over;
  request.send(file);
}

function show(file, reply, began) {
  sentences = reply.flash_result.sentences;
  const seconds = (performance.now() - began) / 1000;
  result = { length: reply.flash_result.duration / 1000, seconds, name: file.name, reply };
  $("file-name").textContent = file.name;
  summary();
  rows = sentences.map((sentence) => row(sentence));
  $("sentences").replaceChildren(...rows.map((button) => item(button)));
  $("no-speech").hidden = sentences.length > 0;
  $("downloads").hidden = sentences.length === 0;
  $("result").hidden = false;
}

function row({ begin_time, text }) {
  const button = document.createElement("button");
  button.type = "button";
  const time = document.createElement("time");
  time.textContent = clock(begin_time / 1000);
  const words = document.createElement("span");
  words.textContent = text;
  button.append(time, words);
  button.addEventListener("click", () => {
    player.currentTime = begin_time / 1000;
    player.play().catch(() => ($("unplayable").hidden = false));
    mark();
  });
  return button;
}

function item(button) {
  const element = document.createElement("li");
  element.append(button);
  return element;
}

offer($("downloads"), ["txt", "srt", "vtt", "json"], () => ({
  name: result.name.replace(/\.[^.]*$/, "") || "transcript",
  sentences,
  reply: result.reply,
}));

function mark() {
  const now = player.currentTime * 1000 + 20;
  let current = -1;
  for (let i = 0; i < sentences.length && sentences[i].begin_time <= now; i++) current = i;
  const ended = current >= 0 && now > sentences[current].end_time + 400;
  rows.forEach((button, index) => {
    if (index === current && !ended) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

function follow() {
  mark();
  frame = player.paused ? 0 : requestAnimationFrame(follow);
}

function progress(share) {
  $("bar").parentElement.classList.toggle("working", share === null);
  $("bar").style.transform = share === null ? "" : `scaleX(${share})`;
}

function summary() {
  if (!result) return;
  say($("file-summary"), "summary", {
    length: duration(result.length),
    count: sentences.length,
    seconds: result.seconds.toFixed(1),
  });
}

function limits() {
  if (!session) return;
  const { flash_max_bytes: bytes, flash_max_seconds: seconds } = session.limits;
  const hint = document.querySelector("#drop span");
  say(hint, "drop_hint", { megabytes: Math.floor(bytes / 1e6), length: duration(seconds) });
}

function clear() {
  player.pause();
  player.removeAttribute("src");
  player.load();
  if (source) URL.revokeObjectURL(source);
  source = result = null;
  sentences = [];
  rows = [];
  $("result").hidden = $("progress").hidden = $("unplayable").hidden = true;
  $("file-input").value = "";
}

player.addEventListener("play", () => (frame ||= requestAnimationFrame(follow)));
player.addEventListener("seeked", mark);
player.addEventListener("error", () => {
  if (source) $("unplayable").hidden = false;
});
$("file-input").addEventListener("change", (event) => take([...event.target.files]));
$("cancel").addEventListener("click", () => {
  running?.abort();
  clear();
  say($("file-error"), "cancelled");
});
for (const name of ["dragover", "drop"]) {
  // anywhere on the page: a file that misses the field must not replace the page
  window.addEventListener(name, (event) => event.preventDefault());
}
const drop = $("drop");
drop.addEventListener("dragover", () => drop.classList.add("over"));
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  take([...event.dataTransfer.files]);
});
onLanguage(() => {
  limits();
  summary();
});
