"""Audit messages to a receiver: real TLS, real frames."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from gateway.audit.exporting import Reader
from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters
from gateway.audit.sending import Sending
from gateway.audit.syslog import Receiver
from gateway.errors import ReceiverUnavailable
from tests.support.audit import audit_settings, engine_of, finished, recorded, recording, sqlite_url
from tests.support.dicom_audit import SCHEMA
from tests.support.syslog_receiver import receiver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.syslog_receiver import Received

WHO = Reader("c1", "system", "", all_tenants=True)
HEAD = re.compile(rb"<(\d+)>1 (\S+) (\S+) cordon (\d+) DICOM\+RFC3881 - \xef\xbb\xbf(<AuditMessage>.*)", re.DOTALL)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    url = sqlite_url(tmp_path / "audit.db")
    async with recording(url) as recorder:
        outcomes = ("success", "refused", "failed")
        events = [finished(f"r{number}", outcome=outcomes[number % 3]) for number in range(600)]
        await asyncio.gather(*map(recorder.record, events))
    return url


async def send(url: str, to: Receiver, filters: Filters | None = None, after: int = 0) -> Sending:
    engine = engine_of(url)
    try:
        async with recording(url) as recorder:
            settings = audit_settings(source="site-7")
            sending = Sending(AuditReader(engine, settings), recorder, settings, receiver=to, who=WHO)
            await sending.send(filters or Filters(), after)
            return sending
    finally:
        await engine.dispose()


def to(received: Received) -> Receiver:
    return Receiver("localhost", received.port, received.authority)


async def test_every_record_arrives_as_a_message_in_a_frame(url: str, tmp_path: Path) -> None:
    async with receiver(tmp_path) as received:
        sending = await send(url, to(received))

    assert sending.records == len(received.messages) == 600
    assert received.closed_in_order == 1
    for number, said in enumerate(received.messages):
        match = HEAD.fullmatch(said)
        assert match
        assert match[1].decode() == ("85", "84", "83")[number % 3]  # facility 10: notice, warning, error
        if number % 50 == 0:
            SCHEMA.assertValid(etree.fromstring(match[5]))
            assert f"urn:cordon:audit:{number + 1}".encode() in match[5]


async def test_what_was_sent_is_on_record(url: str, tmp_path: Path) -> None:
    async with receiver(tmp_path) as received:
        await send(url, to(received), Filters(outcome="failed"))

    *_, last = await recorded(url)
    assert (last["type"], last["format"], last["records"]) == ("audit.exported", "syslog", 200)
    assert (last["filters"], last["outcome"]) == (["outcome"], "success")


async def test_a_receiver_may_ask_for_our_certificate(url: str, tmp_path: Path) -> None:
    async with receiver(tmp_path, mutual=True) as received:
        mutual = Receiver("localhost", received.port, received.authority, received.certificate, received.key)
        await send(url, mutual, after=590)
        assert len(received.messages) == 10
        with pytest.raises(ReceiverUnavailable):
            await send(url, to(received))

    assert len(received.messages) == 10


async def test_a_receiver_that_leaves_is_an_error_and_on_record(url: str, tmp_path: Path) -> None:
    async with receiver(tmp_path, leaves_after=5) as received:
        with pytest.raises(ReceiverUnavailable):
            await send(url, to(received))

    *_, last = await recorded(url)
    assert (last["type"], last["outcome"]) == ("audit.exported", "failed")


async def test_a_receiver_that_nobody_vouches_for_gets_nothing(url: str, tmp_path: Path) -> None:
    async with receiver(tmp_path) as received:
        with pytest.raises(ReceiverUnavailable, match="not trusted"):
            await send(url, Receiver("localhost", received.port))
        with pytest.raises(ReceiverUnavailable, match="not trusted"):
            await send(url, Receiver("127.0.0.1", received.port, received.authority))

    assert received.messages == []


async def test_where_nobody_listens_it_says_so(url: str) -> None:
    with pytest.raises(ReceiverUnavailable, match="cannot be reached"):
        await send(url, Receiver("localhost", 9))


async def test_following_sends_what_is_added_and_not_its_own_records(url: str, tmp_path: Path) -> None:
    engine = engine_of(url)
    async with receiver(tmp_path) as received, recording(url) as recorder:
        settings = audit_settings()
        sending = Sending(AuditReader(engine, settings), recorder, settings, receiver=to(received), who=WHO)
        follow = asyncio.create_task(sending.follow(Filters(), 598))
        async with asyncio.timeout(30):
            await arrived(received, 2)
            await recorder.record(finished("later"))
            await arrived(received, 3, b"bGF0ZXI=")  # its correlation ID in base 64
        follow.cancel()
        await asyncio.wait([follow])
    await engine.dispose()


async def arrived(received: Received, number: int, text: bytes = b"") -> None:
    while len(received.messages) < number or not any(text in said for said in received.messages):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("url", ["udp://host", "tls://", "tls://user@host", "host:6514", "tls://host/path"])
def test_a_receiver_is_named_by_a_tls_url(url: str) -> None:
    with pytest.raises(ValueError, match="tls://HOST"):
        Receiver.parse(url)
    assert Receiver.parse("tls://host").port == 6514
