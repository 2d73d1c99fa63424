"""The metrics' own listener: one path, no versions, and a scraper that hangs keeps nobody else waiting."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Plain

from gateway.cli.serve import bound, url_of
from gateway.telemetry.listener import serve_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def url() -> Iterator[str]:
    registry = CollectorRegistry()
    Plain("tries", "Tries.", registry=registry).inc(7)
    listener = bound("127.0.0.1", 0)
    stop = serve_metrics(listener, registry)
    yield url_of(listener)
    stop()


def test_metrics_are_at_one_path(url: str) -> None:
    answer = httpx.get(f"{url}/metrics")
    assert "tries_total 7.0" in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for path in ("/", "/metrics/", "/favicon.ico", "/console"):
        assert httpx.get(url + path).status_code == 404, path
    assert httpx.post(f"{url}/metrics").status_code == 405


def test_no_version_is_told(url: str) -> None:
    for path in ("/metrics", "/"):
        assert httpx.get(url + path).headers.get_list("server") == ["cordon"]


def test_scrapers_that_send_nothing_keep_nobody_waiting(url: str) -> None:
    host, port = httpx.URL(url).host, httpx.URL(url).port
    assert port is not None
    silent = [socket.create_connection((host, port)) for _ in range(3)]
    assert httpx.get(f"{url}/metrics", timeout=3).status_code == 200
    silent += [socket.create_connection((host, port)) for _ in range(4)]
    silent[-1].settimeout(3)
    assert silent[-1].recv(1) == b""  # beyond the most at once: closed
    for each in silent:
        each.close()
