// Recordings on their way through flash, one after the other: sent with progress, text as soon as it is known.

import { callFailed, explain } from "./server.js";

const PATH = "/v1/audio/asr/flash";
const FORMATS = ["wav", "mp3", "pcm", "flac", "ogg", "opus", "aac", "m4a", "mp4", "amr", "webm"];
const BUSY_SECONDS = 5;

/** One recording. `state` is waiting, sending, recognising, busy, done, failed or cancelled. */
class Job {
  /** `options` are headers for flash: what is listened for, in which language, and whether speakers are told. */
  constructor(file, options) {
    Object.assign(this, { file, options, state: "waiting", share: 0, sentences: [], duration: 0, error: null });
    this.reply = null;
    this.began = this.seconds = 0;
  }

  get over() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }
}

export class Jobs {
  /** `on.changed(job)` when its state or share changed, `on.sentences(job, from)` when there are more from `from` on. */
  constructor(on) {
    this.on = on;
    this.all = [];
    this.running = null;
    this.session = null;
  }

  add(file, options) {
    const job = new Job(file, options);
    this.all.push(job);
    const limit = this.session.limits.flash_max_bytes;
    const values = { megabytes: (file.size / 1e6).toFixed(1), limit: limit / 1e6 };
    if (file.size === 0) this.fail(job, { words: "empty_file" });
    else if (file.size > limit) this.fail(job, { words: "too_large_here", values });
    this.on.changed(job);
    this.next();
    return job;
  }

  /** Stops a job, or takes it off the list when it is over. */
  drop(job) {
    if (job.over) {
      this.all = this.all.filter((each) => each !== job);
    } else {
      job.state = "cancelled";
      clearTimeout(job.timer);
      job.request?.abort();
      if (this.running === job) this.running = null;
    }
    this.on.changed(job);
    this.next();
  }

  again(job) {
    Object.assign(job, { state: "waiting", error: null, sentences: [], share: 0 });
    this.on.changed(job);
    this.next();
  }

  clear() {
    const all = this.all;
    this.all = [];
    for (const job of all) if (!job.over) this.drop(job);
  }

  next() {
    if (this.running) return;
    const job = this.all.find(({ state }) => state === "waiting");
    if (job) this.send(job);
  }

  send(job) {
    this.running = job;
    const request = (job.request = new XMLHttpRequest());
    const { name } = job.file;
    const extension = name.includes(".") ? name.split(".").pop().toLowerCase() : "";
    request.open("POST", PATH);
    request.setRequestHeader("Authorization", `Bearer ${this.session.key}`);
    request.setRequestHeader("Accept", "application/x-ndjson, application/json");
    if (FORMATS.includes(extension)) request.setRequestHeader("format", extension);
    for (const [header, value] of Object.entries(job.options)) request.setRequestHeader(header, value);
    let read = 0;
    const receive = () => {
      if (request.status !== 200 || job.over) return;
      const text = request.responseText;
      for (let end; (end = text.indexOf("\n", read)) >= 0; read = end + 1) this.take(job, JSON.parse(text.slice(read, end)));
    };
    job.state = "sending";
    job.share = 0;
    this.on.changed(job);
    request.upload.onprogress = ({ loaded, total }) => {
      job.share = loaded / total;
      this.on.changed(job);
    };
    request.upload.onload = () => {
      Object.assign(job, { state: "recognising", share: 0, began: performance.now() });
      this.on.changed(job);
    };
    request.onprogress = receive;
    request.onload = () => {
      receive();
      if (job.over) return this.settled(job);
      if (request.status === 200) return this.settled(job, callFailed());
      const header = (each) => request.getResponseHeader(each);
      let content = {};
      try {
        content = JSON.parse(request.responseText);
      } catch {
        // a proxy answered in its own words
      }
      this.settled(job, explain(request.status, content, header("X-Tt-Logid"), header("Retry-After")));
    };
    request.onerror = () => this.settled(job, callFailed());
    request.send(job.file);
  }

  take(job, line) {
    if (line.type === "recording") {
      job.duration = line.duration;
    } else if (line.type === "sentence") {
      job.share = job.duration ? line.end_time / job.duration : 0;
      job.sentences.push({ ...line, words: placed(line.text, line.words) });
      this.on.sentences(job, job.sentences.length - 1);
    } else if (line.type === "result") {
      const { type: _, ...reply } = line;
      Object.assign(job, { reply, state: "done", share: 1, seconds: (performance.now() - job.began) / 1000 });
    } else if (line.type === "error") {
      const status = Number(line.error.code);
      this.fail(job, explain(status, line, job.request.getResponseHeader("X-Tt-Logid"), null));
    }
    this.on.changed(job);
  }

  /** A request is over: well, or with an error; a busy server is asked again. */
  settled(job, error = null) {
    if (error?.words === "busy" || error?.words === "too_many") {
      job.state = "busy";
      job.timer = setTimeout(() => this.send(job), 1000 * (error.wait || BUSY_SECONDS));
      return this.on.changed(job);
    }
    if (error) this.fail(job, error);
    if (this.running === job) this.running = null;
    this.on.changed(job);
    this.next();
  }

  fail(job, error) {
    Object.assign(job, { state: "failed", error });
  }
}

/** Words with where they stand in their sentence, and whether a space stands before them. */
function placed(text, words) {
  let at = 0;
  return words.map((word) => {
    const found = text.indexOf(word.text, at);
    const from = found < 0 ? at : found;
    at = from + word.text.length;
    return { ...word, from, to: at, spaced: from > 0 && text[from - 1] === " " };
  });
}
