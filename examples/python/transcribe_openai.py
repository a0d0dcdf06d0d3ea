"""A transcript, its subtitles, and text as it comes, with the official `openai` client.

Usage: transcribe_openai.py FILE
Needs: pip install openai; KEY in the environment (an API key); URL where the server is not http://127.0.0.1:8300.
"""

import os
import sys
from pathlib import Path

try:
    from openai import OpenAI
except ImportError:
    sys.exit(__doc__)
if len(sys.argv) != 2 or "KEY" not in os.environ:
    sys.exit(__doc__)

audio = Path(sys.argv[1])
if not audio.is_file() or not audio.stat().st_size:
    sys.exit(f"{audio} is missing or empty: nothing was sent")
client = OpenAI(base_url=os.environ.get("URL", "http://127.0.0.1:8300") + "/v1", api_key=os.environ["KEY"])

print(client.audio.transcriptions.create(file=audio, model="whisper-1").text)

print(client.audio.transcriptions.create(file=audio, model="whisper-1", response_format="srt"))

for event in client.audio.transcriptions.create(file=audio, model="whisper-1", stream=True):
    if event.type == "transcript.text.delta":
        print(event.delta, end="", flush=True)
print()
