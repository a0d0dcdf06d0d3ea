"""The text of a short recording, with the official SDK (lark-oapi); only the domain is not Feishu's.

Usage: file_recognize.py FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
Needs: pip install lark-oapi; APP_ID and APP_SECRET in the environment; URL where the server is not http://127.0.0.1:8300.
"""

import base64
import os
import sys
import uuid
from pathlib import Path

try:
    import lark_oapi as lark
    from lark_oapi.api.speech_to_text.v1 import (
        FileConfig,
        FileRecognizeSpeechRequest,
        FileRecognizeSpeechRequestBody,
        Speech,
    )
except ImportError:
    sys.exit(__doc__)
if len(sys.argv) != 2 or not {"APP_ID", "APP_SECRET"} <= os.environ.keys():
    sys.exit(__doc__)

path = Path(sys.argv[1])
if not path.is_file() or not path.stat().st_size:
    sys.exit(f"{path} is missing or empty: nothing was sent")

client = (
    lark.Client.builder()
    .domain(os.environ.get("URL", "http://127.0.0.1:8300"))
    .app_id(os.environ["APP_ID"])
    .app_secret(os.environ["APP_SECRET"])
    .build()
)

audio = base64.b64encode(path.read_bytes()).decode()
config = FileConfig.builder().file_id(uuid.uuid4().hex[:16]).format("pcm").engine_type("16k_auto").build()
body = FileRecognizeSpeechRequestBody.builder().speech(Speech.builder().speech(audio).build()).config(config).build()
request = FileRecognizeSpeechRequest.builder().request_body(body).build()

response = client.speech_to_text.v1.speech.file_recognize(request)
if not response.success():
    sys.exit(
        f"{response.code} {response.msg}: {(response.error or {}).get('message')} (log id {response.get_log_id()})"
    )
print(response.data.recognition_text)
