"""Text that grows while audio is sent, with the official SDK (lark-oapi).

Usage: stream_recognize.py FILE.pcm      16 kHz, 16 bit, mono; sent in packets of 200 ms at the speed of speech
Needs: pip install lark-oapi; APP_ID and APP_SECRET in the environment; URL where the server is not http://127.0.0.1:8300.
"""

import base64
import os
import sys
import time
import uuid
from pathlib import Path

try:
    import lark_oapi as lark
    from lark_oapi.api.speech_to_text.v1 import (
        Speech,
        StreamConfig,
        StreamRecognizeSpeechRequest,
        StreamRecognizeSpeechRequestBody,
    )
except ImportError:
    sys.exit(__doc__)
if len(sys.argv) != 2 or not {"APP_ID", "APP_SECRET"} <= os.environ.keys():
    sys.exit(__doc__)

path = Path(sys.argv[1])
if not path.is_file() or not path.stat().st_size:
    sys.exit(f"{path} is missing or empty: nothing was sent")

PACKET_BYTES = 6400  # 200 ms
START, CONTINUE, END = 1, 0, 2

client = (
    lark.Client.builder()
    .domain(os.environ.get("URL", "http://127.0.0.1:8300"))
    .app_id(os.environ["APP_ID"])
    .app_secret(os.environ["APP_SECRET"])
    .build()
)


def send(stream_id: str, number: int, action: int, audio: bytes) -> str:
    """Send one packet; the text of the whole stream so far."""
    config = StreamConfig.builder().stream_id(stream_id).sequence_id(number).action(action)
    config = config.format("pcm").engine_type("16k_auto").build()
    speech = Speech.builder().speech(base64.b64encode(audio).decode()).build()
    body = StreamRecognizeSpeechRequestBody.builder().speech(speech).config(config).build()
    request = StreamRecognizeSpeechRequest.builder().request_body(body).build()
    response = client.speech_to_text.v1.speech.stream_recognize(request)
    if not response.success():
        sys.exit(f"{response.code} {response.msg}: {(response.error or {}).get('message')}")
    return str(response.data.recognition_text)


pcm = path.read_bytes()
stream_id = uuid.uuid4().hex[:16]
started = time.monotonic()
number = 0
for start in range(0, len(pcm), PACKET_BYTES):
    text = send(stream_id, number, START if number == 0 else CONTINUE, pcm[start : start + PACKET_BYTES])
    print(f"\r{text}", end="", flush=True)
    number += 1
    time.sleep(max(0.0, started + number * 0.2 - time.monotonic()))
print(f"\r{send(stream_id, number, END, b'')}")
