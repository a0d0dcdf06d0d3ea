"""Log-mel features."""

from __future__ import annotations

import subprocess
import sys

_COUNT_CPU = """
import time
import numpy as np
from lingting.engines.whisper.features import log_mel

noise = np.random.default_rng(0).standard_normal(20 * 16000).astype(np.float32)
log_mel(noise, 20)
process, thread = time.process_time(), time.thread_time()
for _ in range(20):
    log_mel(noise, 20)
    time.sleep(0.05)
print((time.process_time() - process) / (time.thread_time() - thread))
"""


def test_no_thread_of_a_linear_algebra_library_spins_behind_the_features() -> None:
    out = subprocess.run([sys.executable, "-c", _COUNT_CPU], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 1.5
