"""The sentences of an audio file of any usual format with their times, with nothing but `requests`.

Usage: flash.py FILE [HOT WORD ...]
Needs: pip install requests; KEY in the environment (an API key); URL where the server is not http://127.0.0.1:8300.
"""

import os
import sys
from pathlib import Path
from urllib.parse import quote

try:
    import requests
except ImportError:
    sys.exit(__doc__)
if len(sys.argv) < 2 or "KEY" not in os.environ:
    sys.exit(__doc__)

path = Path(sys.argv[1])
if not path.is_file() or not path.stat().st_size:
    sys.exit(f"{path} is missing or empty: nothing was sent")
headers = {
    "Authorization": f"Bearer {os.environ['KEY']}",
    "format": path.suffix.lstrip(".").lower() or "wav",
    "max_sentence_silence": "1000",
    "hot_words": quote(",".join(sys.argv[2:])),
}
url = os.environ.get("URL", "http://127.0.0.1:8300") + "/v1/audio/asr/flash"
with path.open("rb") as audio:
    response = requests.post(url, headers=headers, data=audio, timeout=600)
answer = response.json()
if "error" in answer:
    sys.exit(f"{response.status_code} {answer['error']['type']}: {answer['error']['message']}")
for sentence in answer["flash_result"]["sentences"]:
    print(f"{sentence['begin_time'] / 1000:8.2f} {sentence['end_time'] / 1000:8.2f}  {sentence['text']}")
