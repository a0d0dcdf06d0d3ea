"""ONNX Runtime without its telemetry; the only place that imports it.

Since 1.29 the official Linux packages ask for a host of Microsoft, and keep a device id and queued events under the
user's cache folder, from the moment the module is imported (https://github.com/microsoft/onnxruntime/pull/27379).
"""

from __future__ import annotations

import os
from typing import Any

TELEMETRY_OFF = {"ORT_DISABLE_TELEMETRY": "1"}
"""What the environment must hold before the module is imported."""


def runtime() -> Any:
    """The module `onnxruntime`, switched off before it is imported, and again where somebody imported it before us."""
    os.environ.update(TELEMETRY_OFF)
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime
