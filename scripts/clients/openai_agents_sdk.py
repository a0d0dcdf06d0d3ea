"""openai-agents' `OpenAISTTModel` with each kind of turn detection: `URL=… KEY=… python … sample.wav TEXT`."""

from __future__ import annotations

import asyncio
import os
import sys
import wave
from typing import Any

import numpy as np
from agents.voice import StreamedAudioInput, STTModelSettings
from agents.voice.models.openai_stt import OpenAISTTModel
from openai import AsyncOpenAI

RATE = 24_000


async def hear(path: str, settings: STTModelSettings, *, silence: bool) -> str:
    """The text of a 16 kHz recording that is sent five times as fast as it is spoken."""
    client = AsyncOpenAI(base_url=os.environ["URL"] + "/v1", api_key=os.environ["KEY"])
    source = StreamedAudioInput()
    session = await OpenAISTTModel("gpt-4o-transcribe", client).create_session(source, settings, False, False)
    with wave.open(path) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    places = np.arange(0, len(pcm), 16_000 / RATE)
    pcm = np.interp(places, np.arange(len(pcm)), pcm).astype(np.int16)
    sound = np.concatenate((pcm, np.zeros(6 * RATE if silence else 0, np.int16)))

    async def feed() -> None:
        for start in range(0, len(sound), RATE // 10):
            await source.add_audio(sound[start : start + RATE // 10])
            await asyncio.sleep(0.02)
        await source.add_audio(None)  # type: ignore[arg-type]

    feeding = asyncio.create_task(feed())
    turns = []
    async with asyncio.timeout(60):
        async for turn in session.transcribe_turns():
            turns.append(turn)
    await feeding
    await session.close()
    return "".join(turns)


async def main() -> None:
    """Hears the recording in all three ways."""
    path, expected = sys.argv[1:3]
    detections: list[tuple[str, STTModelSettings, bool]] = [
        ("semantic", STTModelSettings(), True),
        ("server", STTModelSettings(turn_detection={"type": "server_vad"}), True),
        ("none", STTModelSettings(turn_detection=_none()), False),
    ]
    for name, settings, silence in detections:
        text = await hear(path, settings, silence=silence)
        print(f"openai-agents, turn detection {name}: {text}")
        assert expected in text


def _none() -> Any:
    return None


asyncio.run(main())
