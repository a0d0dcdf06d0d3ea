// Calls to the server and what their failures mean for the person in front of the page.

/** An answer that is not a success: `words` names a text that says what to do, `detail` is the server's own. */
export class Refused extends Error {
  constructor(words, { status = 0, code = 0, detail = "", logId = "", wait: seconds = 0, passing = false } = {}) {
    super(detail || words);
    Object.assign(this, { words, status, code, detail, logId, wait: seconds, passing });
  }
}

const BUSY = 1040102;
const TOO_FREQUENT = 99991400;
const BAD_KEY = [99991661, 99991663, 99991668];
const NO_SCOPE = 99991672;

/** The failure of a call that got no answer. */
export function callFailed() {
  return new Refused("no_answer", { passing: true });
}

/** What an answer that is not 2xx says, in whichever of the server's envelopes. */
export async function readError(answer) {
  let content = {};
  try {
    content = await answer.json();
  } catch {
    // a proxy answered in its own words
  }
  return explain(answer.status, content, answer.headers.get("X-Tt-Logid"), answer.headers.get("Retry-After"));
}

/** As `readError`, from what XMLHttpRequest has. */
export function explain(status, content, logId, retryAfter) {
  const code = content.code ?? 0;
  const detail = content.error?.message ?? "";
  const known = { status, code, detail, logId: logId ?? "", wait: Number(retryAfter) || 0 };
  if (status === 401 || BAD_KEY.includes(code)) return new Refused("key_refused", known);
  if (status === 403 || code === NO_SCOPE) return new Refused("not_allowed", known);
  if (status === 413) return new Refused("too_large", known);
  if (status === 415) return new Refused("no_audio", known);
  if (status === 429 || code === TOO_FREQUENT) return new Refused("too_many", { ...known, passing: true });
  if (status === 503 || (code === BUSY && known.wait)) return new Refused("busy", { ...known, passing: true });
  if (status >= 500) return new Refused("server_failed", { ...known, passing: code !== BUSY });
  return new Refused("refused", known);
}

/** A JSON answer of the page's own endpoints. */
export async function get(path, key) {
  let answer;
  try {
    answer = await fetch(path, { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" });
  } catch {
    throw callFailed();
  }
  if (!answer.ok) throw await readError(answer);
  return answer.json();
}

/** The API key that a sign-in link stands for; a link is good once. */
export async function redeem(code) {
  let answer;
  try {
    answer = await fetch("/console/sign-in", { method: "POST", body: code });
  } catch {
    throw callFailed();
  }
  if (answer.status === 403) throw new Refused("link_used");
  if (!answer.ok) throw await readError(answer);
  return (await answer.json()).key;
}

/** Resolves after some milliseconds, at once when the signal aborts. */
export function wait(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
