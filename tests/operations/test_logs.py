"""Log lines for people and for machines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from lingting.operations import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log writes; the log of the tests is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def redirect(stream: io.StringIO) -> None:
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)


def test_json_lines_hold_the_fields_at_top_level(written: io.StringIO) -> None:
    logs.configure("info", "json")
    redirect(written)
    logging.getLogger("some.where").info("a %s", "message", extra={logs.FIELDS: {"status": 200, "text": "聆\n听"}})
    (line,) = written.getvalue().splitlines()
    content = json.loads(line)
    content.pop("time")
    assert content == {
        "level": "info",
        "logger": "some.where",
        "message": "a message",
        "status": 200,
        "text": "聆\n听",
    }


def test_text_lines_are_one_line_whatever_a_field_holds(written: io.StringIO) -> None:
    logs.configure("info", "text")
    redirect(written)
    logging.getLogger("w").warning("said", extra={logs.FIELDS: {"a": 1, "b": "two words", "c": "x\ny", "d": ""}})
    (line,) = written.getvalue().splitlines()
    assert line.endswith(" warning w: said a=1 b='two words' c='x\\ny' d=''")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_kept(written: io.StringIO, form: str) -> None:
    logs.configure("info", form)  # type: ignore[arg-type]
    redirect(written)
    try:
        raise ValueError("inner reason")
    except ValueError:
        logging.getLogger("w").exception("it failed")
    assert "inner reason" in written.getvalue()
    assert "Traceback" in written.getvalue()


def test_what_is_below_the_level_is_not_written(written: io.StringIO) -> None:
    logs.configure("warning", "text")
    redirect(written)
    logging.getLogger("w").info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    logging.getLogger("w").error("loud")
    assert [line.split(": ")[1] for line in written.getvalue().splitlines()] == ["loud"]
