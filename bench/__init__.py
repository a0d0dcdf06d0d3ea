"""The benchmark: accuracy, speed, live streams and silence, against faster-whisper with the same weights.

`python -m bench --help` in the checkout says how to run it; `docs/benchmark.md` defines every figure.
"""
