// The microphone: permission, capture and release. Failures have a `words` name that says what to do.

export class MicrophoneError extends Error {
  constructor(words) {
    super(words);
    this.words = words;
  }
}

const REFUSALS = {
  NotAllowedError: "mic_denied",
  SecurityError: "mic_denied",
  NotFoundError: "mic_missing",
  OverconstrainedError: "mic_missing",
  NotReadableError: "mic_busy",
  AbortError: "mic_busy",
};

/**
 * Opens the microphone. `on.packet(ArrayBuffer, last)` gets 16 kHz 16-bit mono PCM in 200 ms packets, the last one
 * shorter; `on.level(rms)` comes every 50 ms; `on.lost()` when the device goes away.
 * Returns a function that stops it: the last packet follows.
 */
export async function openMicrophone(on) {
  if (!window.isSecureContext || !navigator.mediaDevices) throw new MicrophoneError("mic_insecure");
  if (!window.AudioWorkletNode) throw new MicrophoneError("mic_old_browser");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
    });
  } catch (error) {
    throw new MicrophoneError(REFUSALS[error.name] ?? "mic_busy");
  }
  const context = new AudioContext({ latencyHint: "interactive" });
  const release = () => {
    stream.getTracks().forEach((track) => track.stop());
    if (context.state !== "closed") context.close();
  };
  try {
    await context.audioWorklet.addModule("/console/capture.js");
    await context.resume();
  } catch {
    release();
    throw new MicrophoneError("mic_old_browser");
  }
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => {
    if (data.level !== undefined) return on.level(data.level);
    if (data.last) release();
    on.packet(data.pcm, data.last);
  };
  stream.getAudioTracks()[0].onended = () => on.lost();
  context.createMediaStreamSource(stream).connect(node);
  return () => node.port.postMessage("stop");
}
