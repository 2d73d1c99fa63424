from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from gateway.admission.jwks import LAST_GOOD_SECONDS, REFRESH_SECONDS, RETRY_SECONDS, RemoteKeys
from gateway.admission.jwks_fetch import MAX_BYTES, KeySetFetcher
from gateway.errors import StoreUnavailable
from tests.support.issuer import JwksServer, SigningKey, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ONE, TWO = SigningKey("one", "ES256"), SigningKey("two", "ES256")


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with serving(ONE) as state:
        yield state


@pytest.fixture
async def keys(server: JwksServer, clock: Clock) -> AsyncIterator[RemoteKeys]:
    fetcher = KeySetFetcher()
    yield RemoteKeys(server.url, ("ES256",), fetcher, now=clock)
    await fetcher.close()


async def test_many_who_ask_share_one_fetch(keys: RemoteKeys, server: JwksServer) -> None:
    server.delay = 0.1
    found = await asyncio.gather(*(keys.find("one") for _ in range(50)))
    assert all(key is not None for key in found)
    assert server.asked == 1


async def test_a_new_key_is_found_when_its_name_first_comes(keys: RemoteKeys, server: JwksServer, clock: Clock) -> None:
    await keys.find("one")
    server.offer(ONE, TWO)
    clock.seconds = RETRY_SECONDS + 1
    assert await keys.find("two") is not None
    assert server.asked == 2


async def test_made_up_names_cannot_hammer_the_issuer(keys: RemoteKeys, server: JwksServer, clock: Clock) -> None:
    await keys.find("one")
    for number in range(100):
        assert await keys.find(f"made-up-{number}") is None
    assert server.asked == 1
    clock.seconds = RETRY_SECONDS + 1
    for number in range(100):
        await keys.find(f"made-up-{number}")
    assert server.asked == 2


async def test_a_key_that_was_taken_back_is_gone_after_the_refresh(
    keys: RemoteKeys, server: JwksServer, clock: Clock
) -> None:
    await keys.find("one")
    server.offer(TWO)
    clock.seconds = REFRESH_SECONDS + 1
    assert await keys.find("one") is None


async def test_an_outage_uses_the_last_good_set_for_a_day(keys: RemoteKeys, server: JwksServer, clock: Clock) -> None:
    await keys.find("one")
    server.status = 500
    clock.seconds = LAST_GOOD_SECONDS - 1
    assert await keys.find("one") is not None
    clock.seconds = LAST_GOOD_SECONDS + RETRY_SECONDS
    with pytest.raises(StoreUnavailable):
        await keys.find("one")
    server.status = 200
    clock.seconds += RETRY_SECONDS + 1
    assert await keys.find("one") is not None


async def test_no_set_at_all_is_an_error_of_the_dependency(keys: RemoteKeys, server: JwksServer) -> None:
    server.status = 404
    with pytest.raises(StoreUnavailable) as caught:
        await keys.find("one")
    assert caught.value.retry_after == RETRY_SECONDS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [{}]}',
        b'{"keys": [7]}',
        b"[" * 60_000,
        b'{"keys": [' + b"{}," * 70 + b"{}]}",
        b" " * (MAX_BYTES + 1),
        json.dumps({"keys": [ONE.jwk, ONE.jwk]}).encode(),
    ],
    ids=lambda value: f"{len(value)} bytes {value[:12]!r}",
)
async def test_a_bad_set_does_not_replace_a_good_one(
    keys: RemoteKeys, server: JwksServer, clock: Clock, content: bytes
) -> None:
    await keys.find("one")
    server.body = content
    clock.seconds = REFRESH_SECONDS + 1
    assert await keys.find("one") is not None
    assert server.asked == 2


async def test_redirects_are_not_followed(keys: RemoteKeys, server: JwksServer) -> None:
    with serving(ONE) as elsewhere:
        server.status, server.headers = 302, {"Location": elsewhere.url}
        with pytest.raises(StoreUnavailable):
            await keys.find("one")
        assert elsewhere.asked == 0


async def test_a_slow_issuer_costs_no_more_than_the_fetch_time(
    keys: RemoteKeys, server: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admission.jwks_fetch.FETCH_SECONDS", 0.2)
    server.delay = 1.0
    with pytest.raises(StoreUnavailable):
        await keys.find("one")
