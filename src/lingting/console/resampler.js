// Streaming sample-rate conversion with a windowed-sinc low-pass filter (polyphase, Kaiser window).
//
// Each output sample is the input, filtered below half the lower of both rates, at exactly the output's time. With 32
// zero crossings and beta 9 everything that would fold back into the band is about 90 dB down; a voice up to 7 kHz
// passes untouched at 16 kHz.

const CROSSINGS = 32;
const BETA = 9;
const ROLL_OFF = 0.92;

export class Resampler {
  /** Converts mono Float32 samples from `inputRate` to `outputRate`, both whole numbers of Hz. */
  constructor(inputRate, outputRate) {
    const divisor = gcd(inputRate, outputRate);
    this.step = inputRate / divisor;
    this.phases = outputRate / divisor;
    this.cutoff = ROLL_OFF * Math.min(1, outputRate / inputRate);
    this.half = Math.ceil(CROSSINGS / this.cutoff);
    this.taps = 2 * this.half;
    this.filters = new Map();
    this.history = new Float32Array(this.half - 1);
    this.position = 0; // of the next output in history, in whole input samples
    this.phase = 0; // and the rest, in parts of `phases`
  }

  /** The output samples that this much input completes. */
  push(input) {
    const buffer = new Float32Array(this.history.length + input.length);
    buffer.set(this.history);
    buffer.set(input, this.history.length);
    const output = [];
    while (this.position + this.taps <= buffer.length) {
      const filter = this.filter(this.phase);
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += buffer[this.position + tap] * filter[tap];
      output.push(sum);
      this.phase += this.step;
      this.position += Math.floor(this.phase / this.phases);
      this.phase %= this.phases;
    }
    const used = Math.min(this.position, buffer.length);
    this.history = buffer.slice(used);
    this.position -= used;
    return Float32Array.from(output);
  }

  /** What is left when the input ends. */
  flush() {
    return this.push(new Float32Array(this.half));
  }

  filter(phase) {
    let filter = this.filters.get(phase);
    if (filter === undefined) {
      filter = new Float32Array(this.taps);
      const shift = this.half - 1 + phase / this.phases;
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) {
        filter[tap] = sinc((tap - shift) * this.cutoff) * kaiser((tap - shift) / this.half);
        sum += filter[tap];
      }
      for (let tap = 0; tap < this.taps; tap++) filter[tap] /= sum;
      this.filters.set(phase, filter);
    }
    return filter;
  }
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(x) {
  return Math.abs(x) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA);
}

function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}
