// The view that takes recordings: a queue through flash, and the sentences of the one that is looked at.

import { offer } from "./downloads.js";
import { Jobs } from "./jobs.js";
import { Result } from "./result.js";
import { clock, complain, duration, onLanguage, say, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const player = $("player");
const jobs = new Jobs({ changed: (job) => changed(job), sentences: (job, from) => more(job, from) });
const result = new Result(player, $("sentences"), () => (shown.edited = shown.unsaved = true));
const rows = new Map(); // of the queue, by job

let session = null;
let shown = null; // the job whose sentences are looked at
let source = null; // object URL of its recording

export const fileView = {
  begin(given) {
    session = jobs.session = given;
    $("speakers-row").hidden = !given.speakers;
    limits();
  },
  end() {
    session = null;
    jobs.clear();
    rows.forEach(({ item }) => item.remove());
    rows.clear();
    show(null);
  },
  shown(visible) {
    if (!visible) player.pause();
  },
};

function take(list) {
  if (!session || list.length === 0) return;
  const added = list.map((file) => jobs.add(file, options()));
  if (!shown || shown.state === "failed" || shown.state === "cancelled") show(added[0]);
}

/** Headers of the request for a file. */
function options() {
  const given = {};
  const wanted = $("hot-words").value.trim();
  const language = $("language-of-files").value;
  if (wanted) given["hot-words"] = encodeURIComponent(wanted);
  if (language) given.language = language;
  if (session.speakers && $("speakers").checked) given.speakers = "true";
  return given;
}

// -- the queue --------------------------------------------------------------------------------------------------------

function changed(job) {
  if (!jobs.all.includes(job)) {
    rows.get(job)?.item.remove();
    rows.delete(job);
    if (shown === job) show(jobs.all.find(({ state }) => state === "done") ?? null);
  } else {
    const row = rows.get(job) ?? addRow(job);
    row.open.setAttribute("aria-current", String(job === shown));
    row.bar.hidden = job.over || job.state === "waiting" || job.state === "busy";
    row.bar.firstChild.style.transform = `scaleX(${job.share})`;
    describe(row.status, job);
    row.again.hidden = !["failed", "cancelled"].includes(job.state) || job.file.size === 0;
    say(row.again, "try_again");
    say(row.drop, job.over ? "remove" : "cancel");
    row.drop.setAttribute("aria-label", `${row.drop.textContent}: ${job.file.name}`);
    if (job.error) wrong(row.notice, job.error);
    else say(row.notice, "");
  }
  $("queue").hidden = rows.size === 0;
  if (job === shown) head();
}

function addRow(job) {
  const make = (kind, name = "") => Object.assign(document.createElement(kind), { className: name });
  const row = { item: make("li"), open: make("button", "open"), status: make("span", "status"), bar: make("div", "bar") };
  Object.assign(row, { again: make("button"), drop: make("button", "quiet"), notice: make("p", "notice bad") });
  const name = make("strong");
  name.textContent = job.file.name;
  row.open.append(name, row.status);
  for (const button of [row.open, row.again, row.drop]) button.type = "button";
  row.bar.append(make("div"));
  row.bar.hidden = row.notice.hidden = true;
  row.notice.setAttribute("role", "alert");
  row.open.addEventListener("click", () => show(job));
  row.again.addEventListener("click", () => {
    jobs.again(job);
    show(job);
  });
  row.drop.addEventListener("click", () => jobs.drop(job));
  row.item.append(row.open, row.again, row.drop, row.bar, row.notice);
  $("queue").append(row.item);
  rows.set(job, row);
  return row;
}

function describe(element, job) {
  const values = { percent: Math.floor(job.share * 100), length: duration(job.duration / 1000) };
  if (job.state === "recognising" && !job.duration) say(element, "job_reading");
  else say(element, `job_${job.state}`, values);
}

function wrong(element, error) {
  if (error.values) say(element, error.words, error.values);
  else complain(element, error);
}

// -- the result -------------------------------------------------------------------------------------------------------

function show(job) {
  const before = shown;
  shown = job;
  player.pause();
  if (source) URL.revokeObjectURL(source);
  source = null;
  player.removeAttribute("src");
  player.load();
  result.reset();
  $("search").value = "";
  $("unplayable").hidden = true;
  if (job?.file.size) {
    source = URL.createObjectURL(job.file);
    player.src = source;
  }
  if (job) result.add(job.sentences, 0);
  for (const each of [before, job]) if (each && rows.has(each)) changed(each);
  head();
}

function more(job, from) {
  if (job === shown) result.add(job.sentences, from);
}

function head() {
  const any = shown && (shown.sentences.length > 0 || shown.state === "done");
  $("result").hidden = !any;
  if (!any) return;
  $("file-name").textContent = shown.file.name;
  const values = { length: duration(shown.duration / 1000), count: shown.sentences.length };
  if (shown.state === "done") say($("file-summary"), "summary", { ...values, seconds: shown.seconds.toFixed(1) });
  else say($("file-summary"), "summary_so_far", values);
  $("no-speech").hidden = shown.state !== "done" || shown.sentences.length > 0;
  $("downloads").hidden = $("tools").hidden = shown.sentences.length === 0;
}

offer($("downloads"), ["txt", "srt", "vtt", "json"], () => {
  shown.unsaved = false;
  return {
    name: shown.file.name.replace(/\.[^.]*$/, "") || "transcript",
    sentences: shown.sentences,
    reply: shown.edited || !shown.reply ? edited(shown) : shown.reply,
  };
});

/** The answer with what was changed by hand. */
function edited(job) {
  const sentences = job.sentences.map(({ text, begin_time, end_time, speaker }) => ({ text, begin_time, end_time, speaker }));
  return { ...job.reply, flash_result: { duration: job.duration, sentences } };
}

function limits() {
  if (!session) return;
  const { flash_max_bytes: bytes, flash_max_seconds: seconds } = session.limits;
  const hint = document.querySelector("#drop span");
  say(hint, "drop_hint", { megabytes: Math.floor(bytes / 1e6), length: duration(seconds) });
}

$("search").addEventListener("input", (event) => {
  const found = result.search(event.target.value);
  say($("search-found"), event.target.value.trim() ? "search_found" : "", { count: found });
});
$("edit").addEventListener("click", () => {
  result.edit(!result.editing);
  $("edit").setAttribute("aria-pressed", String(result.editing));
});
player.addEventListener("error", () => {
  if (source && player.hasAttribute("src")) $("unplayable").hidden = false;
});
$("file-input").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});

// a file may be dropped anywhere on the page, in every view
const drop = $("drop");
const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
window.addEventListener("dragover", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
window.addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
window.addEventListener("drop", (event) => {
  if (!files(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  if (!session) return;
  location.hash = "#file";
  take([...event.dataTransfer.files]);
});
window.addEventListener("beforeunload", (event) => {
  if (jobs.running || jobs.all.some(({ unsaved }) => unsaved)) event.preventDefault();
});
onLanguage(() => {
  limits();
  rows.forEach((_, job) => changed(job));
});
