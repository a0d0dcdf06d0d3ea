"""sherpa-onnx: streaming and offline models of many families, batched over users."""

from lingting.engines.sherpa.loading import ModelFiles
from lingting.engines.sherpa.offline import OfflineSherpa
from lingting.engines.sherpa.streaming import StreamingSherpa

__all__ = ["ModelFiles", "OfflineSherpa", "StreamingSherpa"]
