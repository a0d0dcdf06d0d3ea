"""Pipecat's services for Deepgram and OpenAI's Realtime interface: `URL=… KEY=… python … sample.wav TEXT`."""

from __future__ import annotations

import asyncio
import os
import sys
import wave

from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService

PIECE = 1600


class Heard(FrameProcessor):
    """Keeps the text that comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.some = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Look at one frame."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.text += frame.text
            self.some.set()
        await self.push_frame(frame, direction)


async def hear(service: FrameProcessor, path: str) -> str:
    """The text of a 16 kHz recording that is sent twice as fast as it is spoken."""
    heard = Heard()
    task = PipelineTask(Pipeline([service, heard]), params=PipelineParams(audio_in_sample_rate=16_000))
    with wave.open(path) as file:
        pcm = file.readframes(file.getnframes()) + bytes(32_000)

    async def feed() -> None:
        await asyncio.sleep(2)
        await task.queue_frame(VADUserStartedSpeakingFrame())
        for start in range(0, len(pcm), PIECE):
            audio = pcm[start : start + PIECE]
            await task.queue_frame(InputAudioRawFrame(audio=audio, sample_rate=16_000, num_channels=1))
            await asyncio.sleep(0.025)
        await task.queue_frame(VADUserStoppedSpeakingFrame())
        async with asyncio.timeout(20):
            await heard.some.wait()
        await task.queue_frame(EndFrame())

    feeding = asyncio.create_task(feed())
    async with asyncio.timeout(60):
        await PipelineRunner(handle_sigint=False).run(task)
    await feeding
    return heard.text


async def main() -> None:
    """Hears the recording through both."""
    path, expected = sys.argv[1:3]
    url, key = os.environ["URL"].replace("http", "ws", 1), os.environ["KEY"]
    for service in (
        DeepgramSTTService(api_key=key, base_url=url, settings=DeepgramSTTService.Settings(language="zh")),
        OpenAIRealtimeSTTService(
            api_key=key, base_url=f"{url}/v1/realtime", settings=OpenAIRealtimeSTTService.Settings(language="zh")
        ),
    ):
        text = await hear(service, path)
        print(f"pipecat, {type(service).__name__}: {text}")
        assert expected in text


asyncio.run(main())
