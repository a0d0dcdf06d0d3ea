// Sentences with times as files: text, SubRip, WebVTT, JSON. Times are whole milliseconds.

/** The files of one reply of flash: a content and a media type by extension. */
export function files(reply) {
  const sentences = reply.flash_result.sentences;
  return {
    txt: { type: "text/plain", content: sentences.map((each) => `${each.text}\n`).join("") },
    srt: { type: "application/x-subrip", content: sentences.map(srtCue).join("\n") },
    vtt: { type: "text/vtt", content: ["WEBVTT\n", ...sentences.map(vttCue)].join("\n") },
    json: { type: "application/json", content: `${JSON.stringify(reply, null, 2)}\n` },
  };
}

function srtCue(sentence, index) {
  return `${index + 1}\n${time(sentence.begin_time, ",")} --> ${time(sentence.end_time, ",")}\n${sentence.text}\n`;
}

function vttCue(sentence) {
  const text = sentence.text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `${time(sentence.begin_time, ".")} --> ${time(sentence.end_time, ".")}\n${text}\n`;
}

function time(milliseconds, point) {
  const pad = (value, digits) => String(value).padStart(digits, "0");
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${parts.map((part) => pad(part, 2)).join(":")}${point}${pad(milliseconds % 1000, 3)}`;
}
