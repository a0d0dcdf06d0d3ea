// AudioWorklet: what the microphone hears, as 16 kHz 16-bit mono packets of 200 ms, and how loud it is.

import { Resampler } from "./resampler.js";

const RATE = 16000;
const PACKET = RATE / 5;
const LEVEL_SAMPLES = RATE / 20;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.packet = new Int16Array(PACKET);
    this.filled = 0;
    this.power = 0;
    this.counted = 0;
    this.stopped = false;
    this.port.onmessage = () => this.stop();
  }

  process(inputs) {
    if (this.stopped) return false;
    const channels = inputs[0];
    if (channels.length > 0) this.take(this.resampler.push(mono(channels)));
    return true;
  }

  stop() {
    if (this.stopped) return;
    this.stopped = true;
    this.take(this.resampler.flush());
    this.send(true);
  }

  take(samples) {
    for (const sample of samples) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.packet[this.filled++] = Math.round(clipped * 32767);
      this.power += clipped * clipped;
      if (++this.counted === LEVEL_SAMPLES) {
        this.port.postMessage({ level: Math.sqrt(this.power / LEVEL_SAMPLES) });
        this.power = this.counted = 0;
      }
      if (this.filled === PACKET) this.send(false);
    }
  }

  send(last) {
    const pcm = this.packet.slice(0, this.filled).buffer;
    this.filled = 0;
    this.port.postMessage({ pcm, last }, [pcm]);
  }
}

function mono(channels) {
  if (channels.length === 1) return channels[0];
  const mixed = new Float32Array(channels[0].length);
  for (const channel of channels) for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / channels.length;
  return mixed;
}

registerProcessor("capture", Capture);
