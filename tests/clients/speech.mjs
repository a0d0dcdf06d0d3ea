// Talks to a server with the official SDK; only the domain differs from a program for Feishu.
// Arguments: URL, app_id, app_secret, file of 16 kHz 16-bit PCM. Prints one JSON object.
import { readFileSync } from "node:fs";
import * as lark from "@larksuiteoapi/node-sdk";

const [url, appId, appSecret, file] = process.argv.slice(2);
const quiet = { error() {}, warn() {}, info() {}, debug() {}, trace() {} };
const client = new lark.Client({ appId, appSecret, domain: url, logger: quiet });
const pcm = readFileSync(file);
const id = (prefix) => (prefix + Math.random().toString(36).slice(2) + "0".repeat(16)).slice(0, 16);
const fixed = { format: "pcm", engine_type: "16k_auto" };

const whole = await client.speech_to_text.speech.fileRecognize({
  data: {
    speech: { speech: pcm.toString("base64") },
    config: { file_id: id("f"), ...fixed },
  },
});

const step = 6400;
const streamId = id("s");
const texts = [];
const count = Math.ceil(pcm.length / step);
for (let n = 0; n <= count; n++) {
  const answer = await client.speech_to_text.speech.streamRecognize({
    data: {
      speech: { speech: pcm.subarray(n * step, (n + 1) * step).toString("base64") },
      config: { stream_id: streamId, sequence_id: n, action: n === 0 ? 1 : n === count ? 2 : 0, ...fixed },
    },
  });
  if (answer.code !== 0) throw new Error(JSON.stringify(answer));
  texts.push(answer.data.recognition_text);
}

let refused;
try {
  await client.speech_to_text.speech.fileRecognize({
    data: { speech: { speech: "" }, config: { file_id: "short", ...fixed } },
  });
} catch (error) {
  refused = { status: error.response.status, logId: error.response.headers["x-tt-logid"], ...error.response.data };
}

console.log(JSON.stringify({ whole, texts, refused }));
process.exit(0);
