"""A transcript, its subtitles, and text as it comes, with the official `openai` client.

Usage: transcribe_openai.py FILE
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("URL", "http://127.0.0.1:8300") + "/v1", api_key=os.environ["KEY"])
audio = Path(sys.argv[1])

print(client.audio.transcriptions.create(file=audio, model="whisper-1").text)

print(client.audio.transcriptions.create(file=audio, model="whisper-1", response_format="srt"))

for event in client.audio.transcriptions.create(file=audio, model="whisper-1", stream=True):
    if event.type == "transcript.text.delta":
        print(event.delta, end="", flush=True)
print()
