// Texts as files: plain text, SubRip, WebVTT, JSON; the same cuts and lines as those of the command. Times are whole
// milliseconds.

const LINE_COLUMNS = 42;
const CUE_LINES = 2;
const CUE_MS = 7000;
const CLAUSE_BONUS = 10;
const CLAUSE_ENDS = "，、；：,;:—…";
const SENTENCE_ENDS = "。！？.!?";
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;

/**
 * Files by extension, each made when it is called. `sentences` have text, begin_time, end_time, and where they are
 * known `words` of the same; `paragraphs` are the lines of the plain text, the sentences unless given; `reply` is what
 * JSON shows.
 */
export function files({ sentences, paragraphs, reply }) {
  const made = (type, content) => () => new Blob([content()], { type: `${type};charset=utf-8` });
  const lines = () => paragraphs ?? sentences.map((sentence) => told(sentence, sentence.text));
  return {
    txt: made("text/plain", () => lines().map((line) => `${line}\n`).join(paragraphs ? "\n" : "")),
    srt: made("application/x-subrip", () => cues(sentences).map(srtCue).join("\n")),
    vtt: made("text/vtt", () => ["WEBVTT\n", ...cues(sentences).map(vttCue)].join("\n")),
    json: made("application/json", () => `${JSON.stringify(reply, null, 2)}\n`),
  };
}

/** Sentences cut for reading along: at most two lines each, long ones cut at a clause or a pause near the middle. */
export function cues(sentences) {
  return sentences
    .flatMap(pieces)
    .filter(({ text }) => text.trim())
    .map((cue) => ({ ...cue, text: wrapped(told(cue, cue.text)) }));
}

/** A text behind its speaker, where that is known. */
const told = ({ speaker }, text) => (speaker ? `${speaker}: ${text}` : text);

/** How wide a text is: a Han character takes two columns. */
export function columns(text) {
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : 1;
  return width;
}

function pieces(sentence) {
  const groups = sentence.words?.length ? cut(sentence.words) : [];
  if (groups.length < 2) return [sentence];
  return groups.map((group, index) => ({
    speaker: sentence.speaker,
    text: join(group),
    begin_time: index === 0 ? sentence.begin_time : group[0].begin_time,
    end_time: index === groups.length - 1 ? sentence.end_time : group.at(-1).end_time,
  }));
}

function cut(words) {
  const long =
    columns(join(words)) > LINE_COLUMNS * CUE_LINES || words.at(-1).end_time - words[0].begin_time > CUE_MS;
  if (words.length < 2 || !long) return [words];
  const widths = words.map(({ text }) => columns(text));
  const total = widths.reduce((sum, width) => sum + width, 0);
  let before = 0;
  let best = 1;
  let bestScore = -Infinity;
  for (let index = 1; index < words.length; index++) {
    before += widths[index - 1];
    const last = words[index - 1].text.at(-1) ?? "";
    const ending = last && SENTENCE_ENDS.includes(last) ? 1 : last && CLAUSE_ENDS.includes(last) ? 0.7 : 0;
    const pause = Math.min(1, Math.max(0, (words[index].begin_time - words[index - 1].end_time) / 1000));
    const score = ending + pause - 2 * Math.abs(before / total - 0.5);
    if (score > bestScore) [best, bestScore] = [index, score];
  }
  return [...cut(words.slice(0, best)), ...cut(words.slice(best))];
}

function wrapped(given) {
  const text = given.split(/\s+/).join(" ").trim();
  const width = columns(text);
  if (width <= LINE_COLUMNS) return text;
  const characters = Array.from(text);
  let reached = 0;
  let best = 0;
  let bestScore = Infinity;
  for (let index = 0; index < characters.length - 1; index++) {
    const [character, following] = [characters[index], characters[index + 1]];
    reached += columns(character);
    const ends = (CLAUSE_ENDS + SENTENCE_ENDS).includes(character);
    const between = character === " " || ends || (columns(character) === 2 && columns(following) === 2);
    if (/\p{P}/u.test(following) || !between) continue;
    let score = Math.abs(reached - width / 2) - (ends ? CLAUSE_BONUS : 0);
    if (Math.max(reached, width - reached) > LINE_COLUMNS) score += width;
    if (score < bestScore) [best, bestScore] = [index + 1, score];
  }
  if (!best) return text;
  const [first, second] = [characters.slice(0, best).join(""), characters.slice(best).join("")];
  return `${first.trimEnd()}\n${second.trimStart()}`;
}

/** The text of words; each says itself whether a space stands before it. */
function join(words) {
  return words.map(({ text, spaced }, index) => (index && spaced ? ` ${text}` : text)).join("");
}

function srtCue(cue, index) {
  return `${index + 1}\n${time(cue.begin_time, ",")} --> ${time(cue.end_time, ",")}\n${cue.text}\n`;
}

function vttCue(cue) {
  const text = cue.text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `${time(cue.begin_time, ".")} --> ${time(cue.end_time, ".")}\n${text}\n`;
}

function time(milliseconds, point) {
  const pad = (value, digits) => String(value).padStart(digits, "0");
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${parts.map((part) => pad(part, 2)).join(":")}${point}${pad(milliseconds % 1000, 3)}`;
}
