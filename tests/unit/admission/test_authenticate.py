from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event

from gateway.admission.api_key import ApiKeys
from gateway.admission.authenticate import Authenticator, CredentialRefused
from gateway.admission.failures import FailureLimit
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.database import create_engine
from gateway.errors import QuotaExceeded, StoreUnavailable
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings
from tests.support.keys import MAKER, new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

ADDRESS = "192.0.2.7"


class Clocks:
    """Both clocks move together, when the test says so."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/keys.db")))
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine, clocks: Clocks) -> KeyStore:
    return KeyStore(engine, MAKER, now=clocks.now)


@pytest.fixture
def looks(engine: AsyncEngine) -> list[str]:
    """Every statement that reads keys, in order."""
    seen: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _see(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT api_keys.key_id, "):
            seen.append(statement)

    return seen


@pytest.fixture
async def scheme(store: KeyStore, clocks: Clocks) -> AsyncIterator[ApiKeys]:
    scheme = ApiKeys(store, MAKER, cache_seconds=0.5, now=clocks.now, monotonic=clocks.monotonic)
    yield scheme
    await scheme.close()


@pytest.fixture
def authenticator(scheme: ApiKeys, clocks: Clocks) -> Authenticator:
    return Authenticator([scheme], FailureLimit(burst=5, seconds=50, now=clocks.monotonic))


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def refusal(authenticator: Authenticator, headers: dict[str, str], address: str = ADDRESS) -> CredentialRefused:
    with pytest.raises(CredentialRefused) as refused:
        await authenticator.authenticate(headers, address)
    return refused.value


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
async def test_a_good_key_is_its_principal(store: KeyStore, authenticator: Authenticator, form: str) -> None:
    record, issued = await store.issue(new_key(scopes=frozenset({"predict", "keys:read"}), plan="partner"))

    principal = await authenticator.authenticate({"authorization": form.format(issued.text)}, ADDRESS)

    assert principal.key_id == record.key_id
    assert (principal.owner, principal.tenant, principal.plan) == (record.owner, record.tenant, "partner")
    assert principal.scopes == {"predict", "keys:read"}
    assert await authenticator.authenticate({"x-api-key": issued.text}, ADDRESS) == principal


async def test_every_refusal_reads_the_same_and_the_log_can_tell_them_apart(
    store: KeyStore, authenticator: Authenticator, scheme: ApiKeys, clocks: Clocks
) -> None:
    _, good = await store.issue(new_key())
    revoked, revoked_key = await store.issue(new_key())
    await store.revoke(revoked.key_id)
    _, expired_key = await store.issue(new_key(expires_at=clocks.now() + timedelta(seconds=1)))
    _, bound = await store.issue(new_key(addresses=("198.51.100.0/24",)))
    clocks.elapsed += 1
    unlimited = Authenticator([scheme], FailureLimit(burst=100))
    cases = {
        "missing": {},
        "unknown-scheme": {"authorization": "Basic dXNlcjpwYXNz"},
        "malformed": bearer(good.text[:-1]),
        "ambiguous": bearer(good.text) | {"x-api-key": good.text},
        "unknown": bearer(MAKER.issue().text),
        "mismatch": bearer(MAKER.issue(good.key_id).text),
        "revoked": bearer(revoked_key.text),
        "expired": bearer(expired_key.text),
        "address": bearer(bound.text),
    }

    refusals = {reason: await refusal(unlimited, headers) for reason, headers in cases.items()}

    assert {reason: each.reason for reason, each in refusals.items()} == {reason: reason for reason in cases}
    assert len({str(each.problem("x")) for each in refusals.values()}) == 1
    secrets = [headers.get("authorization", "")[20:60] for headers in cases.values() if "authorization" in headers]
    assert not any(
        secret and secret in repr(each) + str(each.__dict__) for secret in secrets for each in refusals.values()
    )
    assert refusals["revoked"].key_id == revoked.key_id
    assert refusals["unknown"].key_id is None


async def test_a_malformed_key_costs_no_look(authenticator: Authenticator, looks: list[str]) -> None:
    await refusal(authenticator, bearer(MAKER.issue().text[:-1]))
    assert looks == []


async def test_within_the_cache_time_a_key_is_looked_up_once(
    store: KeyStore, authenticator: Authenticator, looks: list[str], clocks: Clocks
) -> None:
    _, issued = await store.issue(new_key())
    looks.clear()
    for elapsed in (0.0, 0.2, 0.49):
        clocks.elapsed = elapsed
        await authenticator.authenticate(bearer(issued.text), ADDRESS)
    assert len(looks) == 1
    clocks.elapsed = 0.5
    await authenticator.authenticate(bearer(issued.text), ADDRESS)
    assert len(looks) == 2


async def test_many_requests_at_once_share_one_look(
    store: KeyStore, authenticator: Authenticator, looks: list[str]
) -> None:
    _, issued = await store.issue(new_key())
    looks.clear()
    await asyncio.gather(*(authenticator.authenticate(bearer(issued.text), ADDRESS) for _ in range(50)))
    assert len(looks) == 1


async def test_keys_in_use_at_the_same_time_share_their_looks(
    store: KeyStore, authenticator: Authenticator, looks: list[str], clocks: Clocks
) -> None:
    keys = [(await store.issue(new_key()))[1].text for _ in range(40)]
    for number, text in enumerate(keys):  # as they come: at different times
        clocks.elapsed = number / 100
        await authenticator.authenticate(bearer(text), ADDRESS)
    looks.clear()
    for step in range(200):  # two seconds
        clocks.elapsed = 0.4 + step / 100
        for text in keys[step % 4 :: 4]:
            await authenticator.authenticate(bearer(text), ADDRESS)
    assert len(looks) <= 2 * 2 * 3  # each by itself: 160
    await store.revoke(f"key_{keys[7][4:16]}")
    clocks.elapsed += 0.5
    for text in keys:
        if text is not keys[7]:
            await authenticator.authenticate(bearer(text), ADDRESS)
    assert (await refusal(authenticator, bearer(keys[7]))).reason == "revoked"


async def test_a_key_that_was_changed_is_looked_at_anew_when_that_is_told(
    store: KeyStore, authenticator: Authenticator, scheme: ApiKeys
) -> None:
    record, issued = await store.issue(new_key())
    _, other = await store.issue(new_key())
    for text in (issued.text, other.text):
        await authenticator.authenticate(bearer(text), ADDRESS)
    await store.revoke(record.key_id)
    await authenticator.authenticate(bearer(issued.text), ADDRESS)  # half a second has not passed
    scheme.forget(record.key_id)
    assert (await refusal(authenticator, bearer(issued.text))).reason == "revoked"


async def test_a_caller_who_goes_away_does_not_take_the_look_with_him(
    store: KeyStore, authenticator: Authenticator
) -> None:
    _, issued = await store.issue(new_key())
    first = asyncio.create_task(authenticator.authenticate(bearer(issued.text), ADDRESS))
    await asyncio.sleep(0)
    second = asyncio.create_task(authenticator.authenticate(bearer(issued.text), ADDRESS))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).key_id == issued.key_id
    assert first.cancelled()


async def test_a_revoked_key_is_refused_within_the_cache_time(
    store: KeyStore, authenticator: Authenticator, clocks: Clocks
) -> None:
    record, issued = await store.issue(new_key())
    await authenticator.authenticate(bearer(issued.text), ADDRESS)
    await store.revoke(record.key_id)
    clocks.elapsed += 0.5
    assert (await refusal(authenticator, bearer(issued.text))).reason == "revoked"


async def test_a_revoked_key_is_refused_within_one_second_on_every_worker(tmp_path: Path, engine: AsyncEngine) -> None:
    store = KeyStore(engine, MAKER)
    record, issued = await store.issue(new_key())
    engines = [create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/keys.db"))) for _ in "abc"]
    schemes = [ApiKeys(KeyStore(each, MAKER), MAKER, cache_seconds=0.5) for each in engines]
    workers = [Authenticator([scheme], FailureLimit()) for scheme in schemes]
    for worker in workers:
        await worker.authenticate(bearer(issued.text), ADDRESS)

    await store.revoke(record.key_id)
    await asyncio.sleep(1)

    assert [(await refusal(worker, bearer(issued.text))).reason for worker in workers] == ["revoked"] * 3
    for scheme, each in zip(schemes, engines, strict=True):
        await scheme.close()
        await each.dispose()


async def test_after_rotation_both_secrets_hold_until_the_overlap_ends(
    store: KeyStore, authenticator: Authenticator, clocks: Clocks
) -> None:
    record, old = await store.issue(new_key())
    _, new = await store.rotate(record.key_id, overlap=timedelta(hours=1))
    for issued in (old, new):
        assert (await authenticator.authenticate(bearer(issued.text), ADDRESS)).key_id == record.key_id
    clocks.elapsed += 3600
    assert (await refusal(authenticator, bearer(old.text))).reason == "expired"
    assert (await authenticator.authenticate(bearer(new.text), ADDRESS)).key_id == record.key_id


async def test_a_key_expires_while_it_is_cached(store: KeyStore, authenticator: Authenticator, clocks: Clocks) -> None:
    _, issued = await store.issue(new_key(expires_at=clocks.now() + timedelta(seconds=0.2)))
    await authenticator.authenticate(bearer(issued.text), ADDRESS)
    clocks.elapsed += 0.2
    assert (await refusal(authenticator, bearer(issued.text))).reason == "expired"


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("198.51.100.9", True),
        ("::ffff:198.51.100.9", True),
        ("2001:db8::1", True),
        ("198.51.101.1", False),
        ("2001:db9::1", False),
        ("", False),
    ],
)
async def test_a_key_bound_to_networks_is_good_only_from_there(
    store: KeyStore, authenticator: Authenticator, address: str, good: bool
) -> None:
    _, issued = await store.issue(new_key(addresses=("198.51.100.0/24", "2001:db8::/32")))
    if good:
        assert (await authenticator.authenticate(bearer(issued.text), address)).key_id == issued.key_id
    else:
        assert (await refusal(authenticator, bearer(issued.text), address)).reason == "address"


async def test_another_pepper_refuses_every_key(store: KeyStore, clocks: Clocks) -> None:
    _, issued = await store.issue(new_key())
    scheme = ApiKeys(store, KeyMaker(b"another pepper of thirty-two bytes!"), cache_seconds=0.5, now=clocks.now)
    assert (await refusal(Authenticator([scheme], FailureLimit()), bearer(issued.text))).reason == "mismatch"
    await scheme.close()


async def test_a_new_pepper_takes_over_from_the_one_before_it(store: KeyStore, clocks: Clocks) -> None:
    old, new = b"a pepper for tests, not for use elsewhere", b"the next pepper, of thirty-two bytes and more"
    _, issued = await store.issue(new_key())
    _, unused = await store.issue(new_key())

    changing = ApiKeys(store, KeyMaker(new, old), cache_seconds=0.5, now=clocks.now)
    caller = await Authenticator([changing], FailureLimit()).authenticate(bearer(issued.text), ADDRESS)
    assert caller.key_id == issued.key_id
    assert (
        await refusal(Authenticator([changing], FailureLimit()), bearer(MAKER.issue(issued.key_id).text))
    ).reason == ("mismatch")
    await changing.close()

    changed = ApiKeys(store, KeyMaker(new), cache_seconds=0.5, now=clocks.now)
    authenticator = Authenticator([changed], FailureLimit())
    assert (await authenticator.authenticate(bearer(issued.text), ADDRESS)).key_id == issued.key_id
    assert (await refusal(authenticator, bearer(unused.text))).reason == "mismatch"  # was never used meanwhile
    await changed.close()


@pytest.mark.parametrize("previous", [b"short", b"a pepper for tests, not for use elsewhere"])
def test_a_previous_pepper_that_is_none(previous: bytes) -> None:
    with pytest.raises(ValueError, match="PREVIOUS"):
        KeyMaker(b"a pepper for tests, not for use elsewhere", previous)


async def test_an_address_that_fails_too_often_is_refused_without_a_look(
    authenticator: Authenticator, looks: list[str], clocks: Clocks
) -> None:
    for _ in range(5):
        await refusal(authenticator, bearer(MAKER.issue().text))
    looks.clear()
    with pytest.raises(QuotaExceeded) as refused:
        await authenticator.authenticate(bearer(MAKER.issue().text), ADDRESS)
    assert refused.value.members == {"violated-policies": ["failed-authentication"]}
    assert refused.value.retry_after == pytest.approx(10)
    assert looks == []
    await refusal(authenticator, {}, "192.0.2.8")

    clocks.elapsed += 10
    await refusal(authenticator, bearer(MAKER.issue().text))


async def test_a_good_key_in_use_passes_from_an_address_that_others_burn(
    store: KeyStore, authenticator: Authenticator
) -> None:
    _, issued = await store.issue(new_key())
    await authenticator.authenticate(bearer(issued.text), ADDRESS)
    for _ in range(5):
        await refusal(authenticator, {})
    assert (await authenticator.authenticate(bearer(issued.text), ADDRESS)).key_id == issued.key_id
    assert (await refusal(authenticator, bearer(MAKER.issue(issued.key_id).text))).reason == "mismatch"
    with pytest.raises(QuotaExceeded):
        await authenticator.authenticate({}, ADDRESS)


async def test_a_store_that_is_away_is_said_so_and_asked_again(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "later" / "keys.db"
    engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{path}")))
    store = KeyStore(engine, MAKER, now=clocks.now)
    scheme = ApiKeys(store, MAKER, cache_seconds=0.5, now=clocks.now, monotonic=clocks.monotonic)
    authenticator = Authenticator([scheme], FailureLimit(burst=1))
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate(bearer(MAKER.issue().text), ADDRESS)

    await migrate(engine)
    _, issued = await store.issue(new_key())
    assert (await authenticator.authenticate(bearer(issued.text), ADDRESS)).key_id == issued.key_id
    await scheme.close()
    await engine.dispose()


async def test_last_use_is_noted(
    store: KeyStore, authenticator: Authenticator, scheme: ApiKeys, clocks: Clocks
) -> None:
    record, issued = await store.issue(new_key())
    await authenticator.authenticate(bearer(issued.text), ADDRESS)
    await scheme.close()
    found = await store.find(record.key_id)
    assert found is not None
    assert found.last_used_at == clocks.now()


async def test_made_up_ids_fill_no_memory(authenticator: Authenticator, scheme: ApiKeys) -> None:
    for number in range(20):
        await refusal(authenticator, bearer(MAKER.issue().text), f"198.51.100.{number}")
    assert len(scheme._looks) == 0
