"""One way out for every line."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from gateway.settings import LogSettings
from gateway.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "ZqxjKw"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    configure_logging(LogSettings(level="INFO", format="json"), out)
    yield out
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_ours(stream):
    with bound_contextvars(request_id="r-1"):
        structlog.get_logger("gateway.x").info("thing.done", count=3)
    [line] = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["event"], line["count"], line["request_id"], line["level"]) == ("thing.done", 3, "r-1", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_below_the_level_nothing_is_written(stream):
    structlog.get_logger("gateway.x").debug("thing")
    assert not lines(stream)


def test_an_exception_of_ours_leaves_its_message_behind(stream):
    try:
        int(CANARY)
    except ValueError:
        structlog.get_logger("gateway.x").exception("thing.failed")
    [line] = lines(stream)
    assert "ValueError at test_logging.py:" in str(line["exception"])
    assert CANARY not in stream.getvalue()


def test_a_librarys_template_is_shown_with_its_numbers(stream):
    logging.getLogger("uvicorn.error").info("Started server process [%d] for %s", 42, CANARY)
    logging.getLogger("uvicorn.error").info("%(count)d of %(what)s", {"count": 7, "what": CANARY})
    assert [line["event"] for line in lines(stream)] == ["Started server process [42] for …", "7 of …"]


def test_another_librarys_line_is_named_only(stream):
    logging.getLogger("elsewhere").warning("patient %s", CANARY)
    [line] = lines(stream)
    assert line["event"].startswith("a line withheld, from test_logging:")
    assert line["logger"] == "elsewhere"


def test_a_librarys_line_has_the_correlation_id(stream):
    with bound_contextvars(request_id="r-2"):
        logging.getLogger("elsewhere").warning("x")
    assert lines(stream)[0]["request_id"] == "r-2"


def test_uvicorns_access_line_is_not_written(stream):
    access = logging.getLogger("uvicorn.access")
    assert not access.propagate
    access.info("%s", CANARY)
    assert not lines(stream)


def test_for_eyes():
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logging(LogSettings(format="console"), out)
        structlog.get_logger("gateway.x").warning("thing.odd", count=3, path=CANARY)
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    assert "thing.odd" in out.getvalue()
    assert CANARY not in out.getvalue()
