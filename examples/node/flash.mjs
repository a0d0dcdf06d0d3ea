// The sentences of an audio file of any usual format with their times; needs nothing but Node 18 or newer.
// Usage: node flash.mjs FILE [HOT WORD ...]
import { existsSync, readFileSync } from "node:fs";
import { extname } from "node:path";

const [file, ...hotWords] = process.argv.slice(2);
if (!file || !process.env.KEY) {
  console.error("Usage: node flash.mjs FILE [HOT WORD ...], with KEY in the environment, and URL where the server is not http://127.0.0.1:8300");
  process.exit(2);
}
const audio = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
if (!audio.length) {
  console.error(`${file} is missing or empty: nothing was sent`);
  process.exit(2);
}
const base = process.env.URL ?? "http://127.0.0.1:8300";
const response = await fetch(`${base}/v1/audio/asr/flash`, {
  method: "POST",
  headers: {
    authorization: `Bearer ${process.env.KEY}`,
    format: extname(file).slice(1).toLowerCase() || "wav",
    max_sentence_silence: "1000",
    hot_words: encodeURIComponent(hotWords.join(",")),
  },
  body: audio,
});
const answer = await response.json();
if (answer.error) {
  console.error(`${response.status} ${answer.error.type}: ${answer.error.message}`);
  process.exit(1);
}
for (const { begin_time, end_time, text } of answer.flash_result.sentences) {
  console.log(`${(begin_time / 1000).toFixed(2)} ${(end_time / 1000).toFixed(2)}  ${text}`);
}
