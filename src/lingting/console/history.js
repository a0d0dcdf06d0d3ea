// What was spoken and written lately, kept in this browser: texts and sound in IndexedDB, until they are deleted, the
// switch is turned off, or newer ones take their place. Where the browser has no room for it, nothing is kept.

const NAME = "lingting";
const SWITCH = "lingting-history";
const MOST = 30;
const MOST_SAMPLES = 16000 * 3600 * 5;

let opened = null;

/** Whether the person wants a history. */
export function keeping() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return false;
  }
}

/** Turns the history on or off; off deletes all of it. */
export async function setKeeping(wanted) {
  localStorage.setItem(SWITCH, wanted ? "on" : "off");
  if (!wanted) await transact("readwrite", (texts, sound) => [texts.clear(), sound.clear()]);
}

/** The texts of an owner, the newest first, without their sound. */
export async function list(owner) {
  const [all] = (await transact("readonly", (texts) => [texts.getAll()])) ?? [[]];
  return all.filter((each) => each.owner === owner).sort((a, b) => b.began - a.began);
}

/** Keeps a text as it is now. */
export function keep(text) {
  if (keeping()) return transact("readwrite", (texts) => [texts.put(text)]);
}

/** Keeps sound of a text: PCM that begins at sample `start`. */
export function keepSound(id, start, pcm) {
  if (keeping()) return transact("readwrite", (_, sound) => [sound.put(pcm, [id, start])]);
}

/** The sound of a text as { start, pcm }, in order. */
export async function soundOf(id) {
  const [keys, parts] = (await transact("readonly", (_, sound) => [
    sound.getAllKeys(everything(id)),
    sound.getAll(everything(id)),
  ])) ?? [[], []];
  return keys.map(([, start], index) => ({ start, pcm: parts[index] }));
}

/** Deletes a text and its sound. */
export function remove(id) {
  return transact("readwrite", (texts, sound) => [texts.delete(id), sound.delete(everything(id))]);
}

/** Deletes the oldest texts until there is room for another; `except` stays. */
export async function prune(except) {
  const [all] = (await transact("readonly", (texts) => [texts.getAll()])) ?? [[]];
  let samples = 0;
  const newest = all.sort((a, b) => b.began - a.began);
  for (const [index, each] of newest.entries()) {
    samples += each.samples;
    if (each.id !== except && (index >= MOST || samples > MOST_SAMPLES)) await remove(each.id);
  }
}

const everything = (id) => IDBKeyRange.bound([id], [id, []]);

/** Runs requests in one transaction; their results, or null where the browser keeps nothing. */
async function transact(mode, work) {
  try {
    const database = await (opened ??= open());
    const transaction = database.transaction(["texts", "sound"], mode);
    const requests = work(transaction.objectStore("texts"), transaction.objectStore("sound"));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    return requests.map((request) => request.result);
  } catch {
    return null; // private windows and full disks keep nothing; what is on the page stays
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("texts", { keyPath: "id" });
      request.result.createObjectStore("sound");
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}
