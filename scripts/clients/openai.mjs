import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
const client = new OpenAI({ baseURL: `${process.env.URL}/v1`, apiKey: process.env.KEY });
const rt = new OpenAIRealtimeWS({ model: "gpt-4o-transcribe", options: { rejectUnauthorized: false } }, client);
rt.on("error", (e) => { console.log("error", e); process.exit(1); });
rt.socket.on("open", () => {
  rt.send({ type: "session.update", session: { type: "transcription", audio: { input: { format: { type: "audio/pcm", rate: 16000 } } } } });
  const pcm = readFileSync(process.argv[2]).subarray(44);
  for (let i = 0; i < pcm.length; i += 3200) rt.send({ type: "input_audio_buffer.append", audio: pcm.subarray(i, i + 3200).toString("base64") });
  rt.send({ type: "input_audio_buffer.commit" });
});
rt.on("conversation.item.input_audio_transcription.completed", (e) => { console.log(e.transcript); rt.close(); process.exit(0); });
