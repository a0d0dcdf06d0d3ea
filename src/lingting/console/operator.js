// The view of the operator: what the server does now, read again every two seconds while it is looked at.

import { chart } from "./chart.js";
import { get } from "./server.js";
import { clock, complain, duration, latency, onLanguage, say, words } from "./words.js";

const REFRESH_MS = 2000;
const QUARTER = 900;
const DAY = 86400;
const $ = (id) => document.getElementById(id);

let session = null;
let visible = false;
let timer = 0;
let round = 0;
let last = null;
let lastAt = null;

export const operatorView = {
  begin(given) {
    session = given;
  },
  end() {
    session = last = null;
    round++;
    clearTimeout(timer);
    $("operator").hidden = true;
    say($("operator-error"), "");
  },
  shown(now) {
    visible = now;
    again();
  },
};

function again() {
  clearTimeout(timer);
  round++;
  if (!visible || !session || document.hidden) return;
  if (session.scopes.includes("operator")) refresh(round);
  else say($("operator-error"), "operator_refused");
}

async function refresh(mine) {
  let failure = null;
  let status = null;
  try {
    status = await get("/console/status", session.key);
  } catch (error) {
    failure = error;
  }
  if (mine !== round) return;
  if (status) {
    last = status;
    lastAt = new Date();
    say($("operator-error"), "");
    render();
  } else if (failure.words === "key_refused") {
    return window.dispatchEvent(new Event("key-ended"));
  } else if (failure.words === "not_allowed") {
    $("operator").hidden = true;
    return say($("operator-error"), "operator_refused");
  } else if (failure.passing && lastAt) {
    say($("operator-error"), "operator_stale", { clock: lastAt.toLocaleTimeString("en-GB") });
  } else {
    complain($("operator-error"), failure);
  }
  timer = setTimeout(() => refresh(mine), REFRESH_MS);
}

function render() {
  if (!last) return;
  $("operator").hidden = false;
  say($("op-state"), `state_${last.state}`);
  say($("op-uptime"), "uptime", { length: duration(last.uptime_seconds) });
  $("op-live").textContent = last.streams.length;
  $("op-queued").textContent = last.queue ? last.queue.jobs : "–";
  $("op-wait").textContent = last.queue ? duration(last.queue.predicted_wait_seconds) : "–";
  const why = last.state === "unready" ? "state_why" : "";
  say($("op-why"), why, { detail: last.why.join("; ") });
  renderDay();
  table($("op-models"), "none_models", ["model", "#memory", "#restarts", "recognises"],
    last.models.map((model) => [
      model.name,
      `${Math.round(model.memory_bytes / 1e6)} MB`,
      last.engine_restarts,
      words("recognised_ago", { length: duration(last.recognised_seconds_ago) }),
    ]));
  const better = last.better_model;
  say($("op-better"), better ? "better_model" : "", better || {});
  table($("op-streams"), "none_live", ["tenant", "owner", "#audio", "#open_for", "#last_packet"],
    last.streams.map((stream) => [
      stream.tenant,
      stream.owner,
      clock(stream.audio_seconds),
      clock(stream.age_seconds),
      stream.ending ? words("ending") : latency(stream.idle_seconds),
    ]));
  table($("op-latency"), "none_answered", ["interface", "#requests", "#server_errors", "#caller_errors", "#median", "#p95", "#longest"],
    last.latency.map((each) => [
      each.interface,
      each.requests,
      each.server_errors,
      each.caller_errors,
      latency(each.median),
      latency(each.p95),
      latency(each.longest),
    ]));
  const today = new Map(last.usage.today.map((each) => [each.tenant, each]));
  const names = ["requests", "errors", "audio"].flatMap((name) => [`#${name} today`, `#${name} month`]);
  table($("op-usage"), "none_used", ["tenant", ...names],
    last.usage.month.map((month) => {
      const day = today.get(month.tenant) ?? { requests: 0, errors: 0, audio_seconds: 0 };
      return [
        month.tenant,
        day.requests,
        month.requests,
        day.errors,
        month.errors,
        duration(day.audio_seconds),
        duration(month.audio_seconds),
      ];
    }));
}

function renderDay() {
  const base = { points: last.day, step: QUARTER, span: DAY };
  const whole = (value) => (Number.isInteger(value) ? String(value) : "");
  const count = (name, kind, told) => ({ kind, name, value: (point) => point[told] });
  const draw = (id, title, series, format, told) => {
    chart($(id), { ...base, series, format, told });
    const most = Math.max(0, ...last.day.flatMap((point) => series.map(({ value }) => value(point) ?? 0)));
    $(id).setAttribute("aria-label", words("chart_told", { title: words(title), most: format(most) }));
  };
  draw("op-day-streams", "chart_streams", [count("plain", "bar", "streams")], whole, ({ streams }) => whole(streams));
  draw("op-day-late", "chart_late", [count("line", "line", "median"), count("dashed", "line", "p95")], latency,
    ({ median, p95 }) => (median === null ? "–" : `${latency(median)} · ${latency(p95)}`));
  draw("op-day-requests", "chart_requests", [count("plain", "bar", "requests")], whole, ({ requests }) => whole(requests));
  draw("op-day-errors", "errors", [count("ours", "bar", "server_errors"), count("callers", "bar", "caller_errors")], whole,
    (point) => `${words("server_errors")} ${point.server_errors} · ${words("caller_errors")} ${point.caller_errors}`);
}

/** Fills a table; a column whose name begins with # holds numbers, a second word qualifies the first. */
function table(element, empty, columns, rows) {
  const head = document.createElement("thead");
  const body = document.createElement("tbody");
  const numbers = columns.map((name) => name.startsWith("#"));
  const titles = columns.map((name) => name.replace("#", "").split(" ").map((word) => words(word)).join(" · "));
  if (rows.length > 0) {
    head.append(line("th", titles, numbers));
    body.append(...rows.map((row) => line("td", row, numbers)));
  } else {
    body.append(line("td", [words(empty)], [false]));
    body.firstElementChild.firstElementChild.className = "none";
  }
  element.replaceChildren(head, body);
}

function line(kind, values, numbers) {
  const row = document.createElement("tr");
  values.forEach((value, index) => {
    const cell = document.createElement(kind);
    cell.textContent = value;
    if (numbers[index]) cell.className = "number";
    row.append(cell);
  });
  return row;
}

onLanguage(render);
document.addEventListener("visibilitychange", again);
window.addEventListener("resize", () => last && visible && renderDay());
