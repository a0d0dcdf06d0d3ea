"""Wyoming on the wire, spoken by the library that Home Assistant speaks it with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from lingting.api.http.context import Context, context_of
from lingting.api.wyoming import server as wyoming
from lingting.api.wyoming.announcement import announced
from lingting.errors import Overloaded, SettingsError
from lingting.settings import Settings
from tests.api.serving import Running, serving
from tests.api.sockets import hush, voice
from tests.conftest import free_port

RATE = 16_000


class Home:
    """A server with Wyoming on a port of its own."""

    def __init__(self, server: Running, port: int) -> None:
        self.server = server
        self.port = port

    def talk(self, work: Callable[[AsyncTcpClient], Awaitable[None]]) -> None:
        """Do something on a connection."""

        async def main() -> None:
            async with asyncio.timeout(20), AsyncTcpClient("127.0.0.1", self.port) as client:
                await work(client)

        asyncio.run(main())

    def given(self, **settings: Any) -> None:
        """Change settings of the server."""
        service = self.server.service
        service.settings = service.settings.model_copy(update=settings)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with serving(tmp_path) as server:
        port = free_port()
        service = server.service
        service.settings = service.settings.model_copy(
            update={"wyoming_port": port, "keyless_key": server.new_key(), "wyoming_host": "127.0.0.1"}
        )
        context: Context = context_of(server.server.config.app)
        listener = wyoming.serving(context)
        asyncio.run_coroutine_threadsafe(listener.__aenter__(), server.loop).result(10)
        yield Home(server, port)
        asyncio.run_coroutine_threadsafe(listener.__aexit__(None, None, None), server.loop).result(10)


async def speak(client: AsyncTcpClient, sound: bytes, *, start: bool = True, stop: bool = True) -> None:
    if start:
        await client.write_event(AudioStart(rate=RATE, width=2, channels=1).event())
    for at in range(0, len(sound), 2048):
        chunk = AudioChunk(rate=RATE, width=2, channels=1, audio=sound[at : at + 2048])
        await client.write_event(chunk.event())
    if stop:
        await client.write_event(AudioStop().event())


async def events_until(client: AsyncTcpClient, kind: str) -> list[Event]:
    heard = []
    while not heard or heard[-1].type != kind:
        event = await client.read_event()
        assert event is not None
        heard.append(event)
    return heard


def test_the_server_describes_itself_as_home_assistant_wants_it(home: Home) -> None:
    async def work(client: AsyncTcpClient) -> None:
        await client.write_event(Describe().event())
        async with asyncio.timeout(1):
            event = await client.read_event()
        assert event is not None
        (program,) = Info.from_event(event).asr
        assert (program.name, program.installed) == ("lingting", True)
        assert program.supports_transcript_streaming
        assert event.data["asr"][0]["requires_external_vad"] is True
        assert {"zh", "zh-CN", "zh-TW", "en", "en-US", "en-GB"} <= set(program.models[0].languages)

    home.talk(work)


def test_a_request_is_answered_with_growing_text_and_then_all_of_it(home: Home) -> None:
    async def work(client: AsyncTcpClient) -> None:
        await client.write_event(Transcribe(language="zh").event())
        await speak(client, voice(1.0) + hush(1.0) + voice(0.5))
        heard = await events_until(client, "transcript-stop")
        assert TranscriptStart.is_type(heard[0].type)
        assert TranscriptStop.is_type(heard[-1].type)
        assert Transcript.is_type(heard[-2].type)
        assert Transcript.from_event(heard[-2]).text == "今天我们开会讨论下一。今天我们开。"
        assert Transcript.from_event(heard[-2]).language == "zh"
        chunks = [TranscriptChunk.from_event(event).text for event in heard[1:-2]]
        assert len(chunks) > 2
        assert "".join(chunks) == "今天我们开会讨论下一。今天我们开。"

    home.talk(work)


def test_a_peer_that_waits_for_its_text_is_not_taken_for_gone(home: Home) -> None:
    home.given(stream_idle_seconds=0.2)
    service = home.server.service

    async def work(client: AsyncTcpClient) -> None:
        await speak(client, voice(0.5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                while (event := await client.read_event()) is not None:
                    assert not Transcript.is_type(event.type)
        home.server.call(service.finals.set)
        heard = await events_until(client, "transcript")
        assert Transcript.from_event(heard[-1]).text == "今天我们开。"

    home.server.call(service.finals.clear)
    home.talk(work)


def test_requests_follow_one_another_and_language_and_terms_are_heard(home: Home) -> None:
    async def work(client: AsyncTcpClient) -> None:
        asked = {"language": "en-US", "transcript_names": ["Ada"], "transcript_terms": ["Lingting"]}
        await client.write_event(Event("transcribe", asked))
        await speak(client, voice(0.5))
        await speak(client, voice(0.5))
        texts = []
        while len(texts) < 2:
            event = await client.read_event()
            assert event is not None
            if Transcript.is_type(event.type):
                texts.append(Transcript.from_event(event).text)
        assert texts == ["the quick brown fox jumps.", "今天我们开。"]

    home.talk(work)
    assert home.server.service.live[0].options.hot_words == ("Ada", "Lingting")


@pytest.mark.parametrize("start", [True, False])
def test_nothing_said_is_an_empty_transcript(home: Home, start: bool) -> None:
    async def work(client: AsyncTcpClient) -> None:
        await speak(client, b"", start=start)
        event = await client.read_event()
        assert event is not None
        assert Transcript.from_event(event).text == ""

    home.talk(work)


def test_chunks_say_themselves_what_they_are(home: Home) -> None:
    async def work(client: AsyncTcpClient) -> None:
        await speak(client, b"", stop=False)
        for rate, channels in ((48_000, 1), (8_000, 1)):
            sound = voice(0.5, rate)
            await client.write_event(AudioChunk(rate=rate, width=2, channels=channels, audio=sound).event())
        await speak(client, b"", start=False)
        heard = await events_until(client, "transcript")
        assert len(Transcript.from_event(heard[-1]).text) == 11

    home.talk(work)


def test_a_ping_is_answered_and_what_is_unknown_passed_over(home: Home) -> None:
    async def work(client: AsyncTcpClient) -> None:
        await client.write_event(Event("no-such-event", {"x": 1}, b"payload"))
        await client.write_event(Event("select-program", {"name": "x"}))
        await client.write_event(Ping(text="hello").event())
        event = await client.read_event()
        assert event is not None
        assert Pong.from_event(event).text == "hello"

    home.talk(work)


def test_the_server_ends_a_turn_itself_when_it_is_asked_to(home: Home) -> None:
    home.given(wyoming_ends_turns=True)

    async def work(client: AsyncTcpClient) -> None:
        await speak(client, voice(0.5) + hush(1.0), stop=False)
        heard = await events_until(client, "transcript")
        assert Transcript.from_event(heard[-1]).text == "今天我们开。"
        await speak(client, voice(1.0), start=False)
        await speak(client, voice(0.3))
        heard = await events_until(client, "transcript")
        assert Transcript.from_event(heard[-1]).text == "今天我。"

    home.talk(work)


async def refused(client: AsyncTcpClient) -> str:
    event = await client.read_event()
    assert event is not None
    text = Error.from_event(event).text
    assert await client.read_event() is None
    return text


def test_refusals_are_errors_that_say_why(home: Home) -> None:
    async def overloaded(client: AsyncTcpClient) -> None:
        await speak(client, voice(0.5))
        assert "too much" in await refused(client)

    async def wrong_width(client: AsyncTcpClient) -> None:
        await client.write_event(AudioChunk(rate=RATE, width=3, channels=1, audio=b"123").event())
        assert "16 bits" in await refused(client)

    async def keyless(client: AsyncTcpClient) -> None:
        await speak(client, voice(0.5))
        assert "LINGTING_KEYLESS" in await refused(client)

    home.talk(wrong_width)
    home.server.service.open_error = Overloaded("too much is waiting")
    home.talk(overloaded)
    home.server.service.open_error = None
    home.given(keyless_networks="10.0.0.0/8")
    home.talk(keyless)


@contextlib.asynccontextmanager
async def raw(home: Home) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"not json\n",
        b"[]\n",
        b"{}\n",
        b'{"type":5}\n',
        b'{"type":"ping","data":[1]}\n',
        b'{"type":"ping","data_length":-1}\n',
        b'{"type":"ping","data_length":99999999999}\n',
        b'{"type":"ping","payload_length":"x"}\n',
        b'{"type":"ping","data_length":2}\n[]',
        b"x" * 70_000 + b"\n",
    ],
)
def test_what_is_no_event_ends_the_connection_with_an_error(home: Home, sent: bytes) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), raw(home) as (reader, writer):
            writer.write(sent)
            header = json.loads(await reader.readline())
            assert header["type"] == "error"
            assert json.loads(await reader.readexactly(header["data_length"]))["code"] == "bad-event"
            assert await reader.read() == b""

    asyncio.run(main())


def test_a_peer_that_leaves_in_the_middle_frees_its_place(home: Home) -> None:
    home.given(keyless_key=home.server.new_key(limits={"streams": 1}))

    async def leave(client: AsyncTcpClient) -> None:
        await speak(client, voice(1.0), stop=False)

    async def stay(client: AsyncTcpClient) -> None:
        await speak(client, voice(0.5))
        assert (await events_until(client, "transcript"))[-1].data["text"] == "今天我们开。"

    home.talk(leave)
    for attempt in range(50):
        try:
            home.talk(stay)
            return
        except AssertionError:
            assert attempt < 49


def test_a_port_that_is_taken_is_an_error_that_names_the_setting(home: Home) -> None:
    async def again() -> None:
        async with wyoming.serving(context_of(home.server.server.config.app)):
            pass

    with pytest.raises(SettingsError, match="LINGTING_WYOMING_PORT"):
        asyncio.run_coroutine_threadsafe(again(), home.server.loop).result(10)


def test_home_assistant_finds_the_server_by_itself_where_it_is_announced(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(data_dir=tmp_path, wyoming_port=port, wyoming_host="127.0.0.1", wyoming_zeroconf=True)

    async def found() -> AsyncServiceInfo:
        async with AsyncZeroconf(interfaces=["127.0.0.1"]) as home, asyncio.timeout(20):
            names: asyncio.Queue[str] = asyncio.Queue()

            def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
                if state_change is ServiceStateChange.Added:
                    names.put_nowait(name)

            browser = AsyncServiceBrowser(home.zeroconf, "_wyoming._tcp.local.", handlers=[changed])
            async with announced(settings):
                while True:
                    service = AsyncServiceInfo("_wyoming._tcp.local.", await names.get())
                    if await service.async_request(home.zeroconf, 5000) and service.port == port:
                        await browser.async_cancel()
                        return service

    service = asyncio.run(found())
    assert service.name.startswith("lingting-")
    assert service.parsed_addresses() == ["127.0.0.1"]


def test_an_announcement_without_its_package_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, wyoming_port=free_port(), wyoming_zeroconf=True)
    monkeypatch.setitem(sys.modules, "zeroconf", None)

    async def announce() -> None:
        async with announced(settings):
            pass

    with pytest.raises(SettingsError, match="pip install"):
        asyncio.run(announce())
