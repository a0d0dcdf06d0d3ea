// The sentences of an audio file of any usual format with their times; needs nothing but Node 18 or newer.
// Usage: node flash.mjs FILE [HOT WORD ...]
import { readFileSync } from "node:fs";
import { extname } from "node:path";

const [file, ...hotWords] = process.argv.slice(2);
const base = process.env.URL ?? "http://127.0.0.1:8300";
const response = await fetch(`${base}/v1/audio/asr/flash`, {
  method: "POST",
  headers: {
    authorization: `Bearer ${process.env.KEY}`,
    format: extname(file).slice(1).toLowerCase() || "wav",
    max_sentence_silence: "1000",
    hot_words: encodeURIComponent(hotWords.join(",")),
  },
  body: readFileSync(file),
});
const answer = await response.json();
if (answer.error) {
  console.error(`${response.status} ${answer.error.type}: ${answer.error.message}`);
  process.exit(1);
}
for (const { begin_time, end_time, text } of answer.flash_result.sentences) {
  console.log(`${(begin_time / 1000).toFixed(2)} ${(end_time / 1000).toFixed(2)}  ${text}`);
}
