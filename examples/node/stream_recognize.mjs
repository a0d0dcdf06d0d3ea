// Text that grows while audio is sent, with the official SDK.
// Usage: node stream_recognize.mjs FILE.pcm      16 kHz, 16 bit, mono; sent in packets of 200 ms at the speed of speech
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import * as lark from "@larksuiteoapi/node-sdk";

const [file, ...more] = process.argv.slice(2);
if (!file || more.length || !process.env.APP_ID || !process.env.APP_SECRET) {
  console.error(`Usage: node stream_recognize.mjs FILE.pcm, with APP_ID and APP_SECRET in the environment, and URL where the server is not http://127.0.0.1:8300`);
  process.exit(2);
}
const pcm = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
if (!pcm.length) {
  console.error(`${file} is missing or empty: nothing was sent`);
  process.exit(2);
}

const PACKET_BYTES = 6400; // 200 ms
const START = 1, CONTINUE = 0, END = 2;

const client = new lark.Client({
  appId: process.env.APP_ID,
  appSecret: process.env.APP_SECRET,
  domain: process.env.URL ?? "http://127.0.0.1:8300",
});
const streamId = randomBytes(8).toString("hex");

async function send(number, action, audio) {
  const answer = await client.speech_to_text.speech.streamRecognize({
    data: {
      speech: { speech: audio.toString("base64") },
      config: { stream_id: streamId, sequence_id: number, action, format: "pcm", engine_type: "16k_auto" },
    },
  });
  return answer.data.recognition_text;
}

const started = Date.now();
let number = 0;
for (let at = 0; at < pcm.length; at += PACKET_BYTES) {
  const text = await send(number, number === 0 ? START : CONTINUE, pcm.subarray(at, at + PACKET_BYTES));
  process.stdout.write(`\r${text}`);
  number += 1;
  await sleep(Math.max(0, started + number * 200 - Date.now()));
}
console.log(`\r${await send(number, END, Buffer.alloc(0))}`);
