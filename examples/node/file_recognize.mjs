// The text of a short recording, with the official SDK; only the domain is not Feishu's.
// Usage: node file_recognize.mjs FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import * as lark from "@larksuiteoapi/node-sdk";

const [file, ...more] = process.argv.slice(2);
if (!file || more.length || !process.env.APP_ID || !process.env.APP_SECRET) {
  console.error(`Usage: node file_recognize.mjs FILE.pcm, with APP_ID and APP_SECRET in the environment, and URL where the server is not http://127.0.0.1:8300`);
  process.exit(2);
}
const pcm = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
if (!pcm.length) {
  console.error(`${file} is missing or empty: nothing was sent`);
  process.exit(2);
}

const client = new lark.Client({
  appId: process.env.APP_ID,
  appSecret: process.env.APP_SECRET,
  domain: process.env.URL ?? "http://127.0.0.1:8300",
});

try {
  const answer = await client.speech_to_text.speech.fileRecognize({
    data: {
      speech: { speech: pcm.toString("base64") },
      config: { file_id: randomBytes(8).toString("hex"), format: "pcm", engine_type: "16k_auto" },
    },
  });
  console.log(answer.data.recognition_text);
} catch (error) {
  // the SDK throws on every status that is not 2xx; the answer is in error.response
  const { code, msg, error: details } = error.response?.data ?? { msg: error.message };
  console.error(`${code ?? ""} ${msg}: ${details?.message ?? ""}`);
  process.exitCode = 1;
}
