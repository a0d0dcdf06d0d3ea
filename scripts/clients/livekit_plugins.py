"""LiveKit's plugins for Deepgram and OpenAI: `URL=… KEY=… python … sample.wav TEXT`."""

from __future__ import annotations

import asyncio
import os
import sys
import wave

from livekit import rtc
from livekit.agents import stt, utils
from livekit.plugins import deepgram, openai

PIECE = 1600


async def hear(recognizer: stt.STT, path: str) -> str:
    """The final text of a 16 kHz recording that is sent twice as fast as it is spoken."""
    stream = recognizer.stream()
    with wave.open(path) as file:
        pcm = file.readframes(file.getnframes()) + bytes(64_000)

    async def feed() -> None:
        for start in range(0, len(pcm), PIECE):
            piece = pcm[start : start + PIECE]
            stream.push_frame(rtc.AudioFrame(piece, 16_000, 1, len(piece) // 2))
            await asyncio.sleep(0.025)
        stream.flush()

    feeding = asyncio.create_task(feed())
    text = ""
    async with asyncio.timeout(60):
        async for event in stream:
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                text = event.alternatives[0].text
                break
    await feeding
    await stream.aclose()
    return text


async def main() -> None:
    """Hears the recording through both."""
    path, expected = sys.argv[1:3]
    url, key = os.environ["URL"], os.environ["KEY"]
    async with utils.http_context.open():
        for recognizer in (
            deepgram.STT(base_url=f"{url}/v1/listen", api_key=key, language="zh"),
            openai.STT(base_url=f"{url}/v1", api_key=key, use_realtime=True, language="zh"),
        ):
            text = await hear(recognizer, path)
            print(f"{type(recognizer).__module__}: {text}")
            assert expected in text


asyncio.run(main())
