// The list of earlier texts under the Speak view: what is kept in this browser, to open again or to delete.

import * as history from "./history.js";
import { clock, currentLanguage, onLanguage, say, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const RATE = 16000;
const FIRST = 80;

/** `on.open(text)` is a text that was chosen, `on.removed(id)` one that was deleted. */
export function historyView(on) {
  let owner = null;

  async function show(wanted = owner) {
    owner = wanted;
    if (owner === null) return;
    $("history").hidden = false;
    $("history-keep").checked = history.keeping();
    const texts = await history.list(owner);
    if (owner !== wanted) return;
    $("history-list").replaceChildren(...texts.map(row));
    $("history-none").hidden = texts.length > 0;
    say($("history-title"), "history_title", { count: texts.length });
  }

  function row(text) {
    const item = document.createElement("li");
    const open = document.createElement("button");
    open.type = "button";
    open.className = "open";
    const when = document.createElement("time");
    when.dateTime = new Date(text.began).toISOString();
    when.textContent = new Date(text.began).toLocaleString(currentLanguage() === "zh" ? "zh-CN" : "en-GB", {
      dateStyle: "medium",
      timeStyle: "short",
    });
    const start = document.createElement("span");
    const said = text.pieces.map((piece) => piece.text).join("").trim();
    start.textContent = said.slice(0, FIRST) || words("history_no_text");
    const length = document.createElement("small");
    length.textContent = clock(text.samples / RATE);
    open.append(when, length, start);
    open.addEventListener("click", () => on.open(text));
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet";
    remove.textContent = words("delete");
    remove.setAttribute("aria-label", `${words("delete")}: ${when.textContent}`);
    remove.addEventListener("click", async () => {
      await history.remove(text.id);
      on.removed(text.id);
      await show();
      $("history-summary").focus();
    });
    item.append(open, remove);
    return item;
  }

  $("history-keep").addEventListener("change", async (event) => {
    await history.setKeeping(event.target.checked);
    await show();
  });
  onLanguage(() => show());
  return {
    show,
    hide: () => {
      owner = null;
      $("history").hidden = true;
    },
  };
}
