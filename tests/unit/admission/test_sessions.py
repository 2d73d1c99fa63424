"""Sessions in a real Valkey: idle and absolute time-outs, how many, and what a cookie header may look like."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.principal import Principal
from gateway.admission.sessions import COOKIE, MAX_SESSIONS, Sessions, clear_cookie, cookie_of, set_cookie
from gateway.errors import StoreUnavailable
from gateway.settings import ConsoleSettings, RedisSettings

ID = "A" * 43
ADA = Principal("key_000000000000", "Ada", "st-mary", frozenset({"console"}), "admin")


class Holder:
    """A credential that can be taken away."""

    def __init__(self):
        self.good = True
        self.asked = []

    async def still(self, key_id, marks, address):
        self.asked.append((key_id, tuple(marks), address))
        if not self.good:
            raise CredentialRefused(reason="revoked")
        return ADA


@pytest.fixture
async def made(valkey):
    """Sessions by their time-outs; closed in the end."""
    open_now = []

    def make(idle=900, absolute=28_800, holder=None, url=valkey.url, now=lambda: datetime.now(UTC)):
        settings = ConsoleSettings.model_construct(idle_seconds=idle, absolute_seconds=absolute)
        redis = RedisSettings(url=url, timeout_seconds=1.0)
        open_now.append(Sessions(redis, settings, {"key": holder or Holder()}, now=now))
        return open_now[-1]

    yield make
    for each in open_now:
        await each.close()


async def test_a_session_is_good_until_it_was_idle_too_long(made):
    sessions = made(idle=1)
    session = await sessions.open("key", ADA.key_id, ["mark"], "Firefox")
    for _ in range(4):
        await asyncio.sleep(0.4)
        assert (await sessions.authenticate(session.secret, "192.0.2.1"))[0] is ADA
    await asyncio.sleep(1.2)
    with pytest.raises(CredentialRefused) as refused:
        await sessions.authenticate(session.secret, "192.0.2.1")
    assert refused.value.reason == "session-ended"


async def test_a_busy_session_ends_too(made):
    clock = datetime.now(UTC)
    sessions = made(idle=900, absolute=3600, now=lambda: clock)
    session = await sessions.open("key", ADA.key_id, [], "Firefox")
    assert session.ends == clock + timedelta(hours=1)
    clock += timedelta(minutes=59)
    _, seen = await sessions.authenticate(session.secret, "")
    assert seen.idle_seconds <= 60  # what is told is never beyond the end
    clock += timedelta(minutes=1)
    with pytest.raises(CredentialRefused):
        await sessions.authenticate(session.secret, "")


async def test_each_request_asks_whether_the_credential_is_good_and_one_that_is_not_ends_the_session(made):
    holder = Holder()
    sessions = made(holder=holder)
    session = await sessions.open("key", ADA.key_id, ["one", "two"], "Firefox")
    await sessions.authenticate(session.secret, "192.0.2.7")
    assert holder.asked == [(ADA.key_id, ("one", "two"), "192.0.2.7")]
    holder.good = False
    with pytest.raises(CredentialRefused) as refused:
        await sessions.authenticate(session.secret, "192.0.2.7")
    assert refused.value.reason == "revoked"
    holder.good = True
    with pytest.raises(CredentialRefused):
        await sessions.authenticate(session.secret, "192.0.2.7")


async def test_a_session_of_a_kind_of_credential_that_is_gone_is_none(made):
    session = await made().open("directory", ADA.key_id, [], "Firefox")
    with pytest.raises(CredentialRefused):
        await made().authenticate(session.secret, "")


async def test_the_oldest_session_makes_room(made):
    clock = datetime.now(UTC)
    sessions = made(now=lambda: clock)
    opened = []
    for _ in range(MAX_SESSIONS + 2):
        clock += timedelta(seconds=1)
        opened.append(await sessions.open("key", ADA.key_id, [], "Firefox"))
    listed = await sessions.list(ADA.key_id)
    assert len(listed) == MAX_SESSIONS
    assert listed[0].handle == opened[-1].handle
    assert await sessions.find(opened[0].secret) is None
    assert await sessions.find(opened[2].secret) is not None
    assert await sessions.close_others(opened[-1]) == MAX_SESSIONS - 1
    assert [each.handle for each in await sessions.list(ADA.key_id)] == [opened[-1].handle]


async def test_every_session_has_a_secret_and_a_token_of_its_own(made):
    sessions = made()
    first, second = [await sessions.open("key", ADA.key_id, [], "Firefox") for _ in range(2)]
    assert len({first.secret, second.secret, first.csrf, second.csrf}) == 4
    assert cookie_of([(b"cookie", f"{COOKIE}={first.secret}".encode())]) == first.secret
    assert first.secret not in repr(first)
    assert len(first.csrf) == 43


async def test_while_redis_is_away_nobody_can_tell_who_is_signed_in(made, tmp_path):
    sessions = made(url=f"unix://{tmp_path / 'none.sock'}")
    with pytest.raises(StoreUnavailable):
        await sessions.authenticate(ID, "")
    with pytest.raises(StoreUnavailable):
        await sessions.open("key", ADA.key_id, [], "Firefox")
    with pytest.raises(CredentialRefused):  # nothing was presented, so nothing is looked up
        await sessions.authenticate(None, "")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([f"{COOKIE}={ID}"], ID),
        ([f"a=b; {COOKIE}={ID}; c=d"], ID),
        (["a=b", f"{COOKIE}={ID}"], ID),
        ([f"{COOKIE}={ID}; {COOKIE}={ID}"], None),
        ([f"{COOKIE}={ID}", f"{COOKIE}={'B' * 43}"], None),
        ([f"{COOKIE}={ID}A"], None),
        ([f"{COOKIE}={ID[:-1]}!"], None),
        ([f"{COOKIE[7:]}={ID}"], None),
        ([f"{COOKIE}=\xff"], None),
        ([], None),
    ],
)
def test_a_cookie_is_read_strictly(lines, found):
    assert cookie_of([(b"host", b"x"), *((b"cookie", line.encode("latin-1")) for line in lines)]) == found


def test_the_cookie_is_set_and_taken_away_alike():
    assert set_cookie(ID).replace(ID, "") == clear_cookie().replace("Max-Age=0; ", "")
