// The page: signing in, the views, the language.

import { fileView } from "./file.js";
import { operatorView } from "./operator.js";
import { get, redeem, Refused } from "./server.js";
import { speakView } from "./speak.js";
import { complain, currentLanguage, onLanguage, say, setLanguage, translate } from "./words.js";

const KEY = "lingting-key";
const LINK = "#sign-in=";
const $ = (id) => document.getElementById(id);
const views = { speak: speakView, file: fileView, operator: operatorView };
let session = null;

async function signIn(key) {
  if (!/^[\x21-\x7e]{1,512}$/.test(key)) throw new Refused("key_wrong");
  const found = await get("/console/session", key);
  session = { ...found, key };
  sessionStorage.setItem(KEY, key);
  $("sign-in").hidden = true;
  $("tabs").hidden = $("sign-out").hidden = false;
  document.querySelector('#tabs a[href="#operator"]').hidden = !session.scopes.includes("operator");
  $("who").textContent = `${session.tenant} · ${session.owner}`;
  $("server").textContent = `Lingting ${session.version} · ${session.model}`;
  Object.values(views).forEach((view) => view.begin(session));
  show();
  document.querySelector(".view:not([hidden]) h1").focus(); // the field that had the focus is gone
}

function signOut() {
  if (session) Object.values(views).forEach((view) => view.end());
  session = null;
  sessionStorage.removeItem(KEY);
  $("tabs").hidden = $("sign-out").hidden = true;
  $("who").textContent = $("server").textContent = "";
  document.querySelectorAll(".view").forEach((view) => (view.hidden = view.id !== "sign-in"));
  $("key").value = "";
  $("key").focus();
}

function show() {
  if (!session) return;
  const named = location.hash.slice(1);
  const name = named in views ? named : "speak";
  for (const other of Object.keys(views)) {
    $(`view-${other}`).hidden = other !== name;
    views[other].shown(other === name);
  }
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? $("sign-in-form").querySelector("button");
  button.disabled = true;
  say($("sign-in-error"), "");
  try {
    await signIn($("key").value.trim());
    $("key").value = "";
  } catch (error) {
    if (error.words === "key_refused") say($("sign-in-error"), "key_wrong");
    else complain($("sign-in-error"), error);
    $("key").select();
  } finally {
    button.disabled = false;
  }
});
$("sign-out").addEventListener("click", () => {
  say($("sign-in-error"), "");
  signOut();
});
$("language").addEventListener("click", () => setLanguage(currentLanguage() === "zh" ? "en" : "zh"));
onLanguage(() => {
  const other = currentLanguage() === "zh" ? ["English", "en"] : ["中文", "zh-CN"];
  [$("language").textContent, $("language").lang] = other;
});
window.addEventListener("hashchange", show);
window.addEventListener("key-ended", () => {
  signOut();
  say($("sign-in-error"), "key_ended");
});

translate();
const kept = sessionStorage.getItem(KEY);
const code = location.hash.startsWith(LINK) ? location.hash.slice(LINK.length) : "";
if (code) history.replaceState(null, "", location.pathname);
if (code && !kept) {
  signOut();
  redeem(code)
    .then(signIn)
    .catch((error) => complain($("sign-in-error"), error));
} else if (kept) {
  signIn(kept).catch((error) => {
    signOut();
    if (error.words === "key_refused") say($("sign-in-error"), "key_ended");
    else complain($("sign-in-error"), error);
    if (error.passing) sessionStorage.setItem(KEY, kept);
  });
} else {
  signOut();
}
