"""Who may issue, change, rotate and end which key, and what goes on record of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from gateway.admission.break_glass import BreakGlass, BreakGlassWanted
from gateway.audit.events import fields_of
from gateway.errors import Forbidden, InvalidParameter, NotFound, PreconditionFailed
from tests.support.administration import OPERATOR, House, engine_on_a_copy, migrated
from tests.support.keys import new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.admission.administrator import Administrator

CANARY = "ZqxjKwDoe"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("template"))


@pytest.fixture
async def house(template: Path, tmp_path: Path) -> AsyncIterator[House]:
    engine = engine_on_a_copy(template, tmp_path)
    yield House.on(engine)
    await engine.dispose()


@pytest.fixture
async def issuer(house: House) -> Administrator:
    return await house.person("Issuer", "keys:read", "keys:write")


async def a_key(house: House, **changes: Any) -> str:
    record, _ = await house.store.issue(new_key(**changes))
    return record.key_id


async def test_an_update_changes_what_is_named_and_nothing_else(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house, note="old", addresses=("192.0.2.0/24",))
    before = await house.store.existing(key_id)
    ends = house.clock.now + timedelta(days=9)

    done = await house.rules.keys.update(
        issuer, key_id, {"note": "new", "plan": "partner", "expires_at": ends, "owner": " Someone else "}, revision=1
    )

    after = done.record
    assert (after.note, after.plan, after.expires_at, after.owner) == ("new", "partner", ends, "Someone else")
    assert (after.scopes, after.addresses, after.tenant) == (before.scopes, before.addresses, before.tenant)
    assert (after.created_by, after.created_at, after.secrets) == (before.created_by, before.created_at, before.secrets)
    assert (before.revision, after.revision) == (1, 2)
    assert set(done.changed) == {"note", "plan", "expires_at", "owner"}


async def test_null_takes_away_what_can_be_absent(house: House, issuer: Administrator) -> None:
    ends = house.clock.now + timedelta(days=9)
    key_id = await a_key(house, note="x", addresses=("192.0.2.0/24",), expires_at=ends, limits=(("minute", 5),))
    nothing = dict.fromkeys(("note", "addresses", "expires_at", "limits"))
    record = (await house.rules.keys.update(issuer, key_id, nothing, revision=1)).record
    assert (record.note, record.addresses, record.expires_at, record.limits) == ("", (), None, ())
    for field in ("owner", "scopes", "plan"):
        with pytest.raises(InvalidParameter) as refused:
            await house.rules.keys.update(issuer, key_id, {field: None}, revision=2)
        assert refused.value.members == {"parameter": field}


async def test_limits_are_patched_one_by_one(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house)
    update = house.rules.keys.update
    await update(issuer, key_id, {"limits": {"minute": 600, "inflight": 16}}, revision=1)
    await update(issuer, key_id, {"limits": {"minute": None, "day": 7}}, revision=2)
    record = await house.store.existing(key_id)
    assert record.limits == (("day", 7), ("inflight", 16))
    for wrong in ({"hour": 5}, {"minute": 0}, {"minute": 10**10}, {"inflight": 100_001}):
        with pytest.raises(InvalidParameter) as refused:
            await update(issuer, key_id, {"limits": wrong}, revision=3)
        assert refused.value.members == {"parameter": "limits"}
    # Limits that the other plan has no place for must be taken back in the same breath.
    with pytest.raises(InvalidParameter):
        await update(issuer, key_id, {"plan": "admin"}, revision=3)
    assert (await update(issuer, key_id, {"plan": "admin", "limits": {"day": None}}, revision=3)).record.limits == (
        ("inflight", 16),
    )


async def test_a_change_that_was_made_meanwhile_is_not_overwritten(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house)
    await house.rules.keys.update(issuer, key_id, {"note": "first"}, revision=1)
    with pytest.raises(PreconditionFailed):
        await house.rules.keys.update(issuer, key_id, {"note": "second"}, revision=1)
    assert (await house.store.existing(key_id)).note == "first"
    for change in (house.rules.keys.rotate(issuer, key_id), house.rules.keys.revoke(issuer, key_id)):
        before = (await house.store.existing(key_id)).revision
        await change
        assert (await house.store.existing(key_id)).revision == before + 1
    await house.store.touch(key_id, resolution=timedelta(minutes=1))
    assert (await house.store.existing(key_id)).revision == 4


async def test_a_patch_that_says_nothing_new_changes_nothing(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house, addresses=("192.0.2.0/24",))
    same = {"note": "", "scopes": ["predict"], "addresses": ["192.0.2.0/24"], "limits": {"minute": None}}
    done = await house.rules.keys.update(issuer, key_id, same, revision=1)
    assert (done.changed, done.record.revision) == ((), 1)
    assert house.log.types == []


@pytest.mark.parametrize(
    "patch",
    [
        {"tenant": "other"},
        {"key_id": "key_x"},
        {"created_by": "cli"},
        {"break_glass": ""},
        {"revoked_at": None},
        {"plan": CANARY},
        {"scopes": [CANARY]},
        {"scopes": []},
        {"owner": " "},
        {"note": "x" * 501},
        {"addresses": [CANARY]},
    ],
)
async def test_what_cannot_be_changed(house: House, issuer: Administrator, patch: dict[str, Any]) -> None:
    key_id = await a_key(house)
    with pytest.raises(InvalidParameter) as refused:
        await house.rules.keys.update(issuer, key_id, patch, revision=1)
    assert CANARY not in str(refused.value.problem("x"))
    assert (await house.store.existing(key_id)).revision == 1


async def test_an_issuer_gives_no_more_by_an_update_than_by_an_issue(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house)
    with pytest.raises(Forbidden) as refused:
        await house.rules.keys.update(issuer, key_id, {"scopes": ["predict", "audit:read"]}, revision=1)
    assert refused.value.members == {"scope": "audit:read"}
    strong = await a_key(house, scopes=frozenset({"predict", "audit:read"}))
    for patch in ({"scopes": ["predict"]}, {"addresses": None}, {"note": "mine"}):
        with pytest.raises(Forbidden):  # neither does one change a key that is stronger than oneself
            await house.rules.keys.update(issuer, strong, patch, revision=1)
    with pytest.raises(Forbidden):
        await house.rules.keys.rotate(issuer, strong)
    assert (await house.rules.keys.revoke(issuer, strong)).revoked_at is not None  # to end is always safe


async def test_another_tenants_key_does_not_exist(house: House) -> None:
    key_id = await a_key(house)
    other = await house.person("Other", "keys:read", "keys:write", tenant="other")
    for call in (
        house.rules.keys.show(other, key_id),
        house.rules.keys.update(other, key_id, {"note": "x"}, revision=None),
        house.rules.keys.rotate(other, key_id),
        house.rules.keys.revoke(other, key_id),
    ):
        with pytest.raises(NotFound):
            await call
    assert key_id not in {record.key_id for record in await house.rules.keys.list(other)}
    assert (await house.store.existing(key_id)).revision == 1


async def test_the_tenant_and_the_maker_are_the_administrators(house: House, issuer: Administrator) -> None:
    handed = await house.rules.keys.issue(issuer, new_key(tenant="other", created_by="cli", break_glass="drill"))
    assert handed.record is not None
    assert (handed.record.tenant, handed.record.created_by) == ("st-mary", issuer.key_id)
    assert handed.record.break_glass == ""
    at_the_machine = await house.rules.keys.issue(OPERATOR, new_key(tenant="other", scopes=frozenset({"keys:write"})))
    assert at_the_machine.record is not None
    assert (at_the_machine.record.tenant, at_the_machine.record.created_by) == ("other", "cli")


async def test_a_revoked_key_stays_as_it_is(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house)
    await house.rules.keys.revoke(issuer, key_id)
    with pytest.raises(InvalidParameter):
        await house.rules.keys.update(issuer, key_id, {"note": "again"}, revision=None)


async def test_an_update_is_on_record_by_names_and_codes(house: House, issuer: Administrator) -> None:
    key_id = await a_key(house)
    patch = {"owner": f"Dr. {CANARY}", "note": CANARY, "addresses": ["192.0.2.77/32"], "scopes": ["deidentify"]}
    await house.rules.keys.update(issuer, key_id, patch, revision=1)
    (event,) = house.log.events
    body = fields_of(event)
    assert body["type"] == "key.updated"
    assert body["actor"] == issuer.key_id
    assert set(body["changed"]) == {"owner", "note", "addresses", "scopes"}
    assert (body["scopes"], body["plan"]) == (["deidentify"], "standard")
    assert CANARY not in str(body)
    assert "192.0.2" not in str(body)


# Break-glass


def wanted(**changes: Any) -> BreakGlassWanted:
    fields = {"owner": "Dr. Sato", "tenant": "st-mary", "scopes": frozenset({"predict", "audit:read"})}
    fields |= {"reason": "downtime", "note": "login provider down, patient waiting"}
    return BreakGlassWanted(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
async def on_call(house: House) -> Administrator:
    return await house.person("On call", "keys:break-glass")


async def test_a_break_glass_key_lives_for_an_hour_and_sounds_the_alarm(house: House, on_call: Administrator) -> None:
    with capture_logs() as lines:
        handed = await house.rules.keys.break_glass(on_call, wanted(tenant="other"))
    record = handed.record
    assert record is not None
    assert (record.tenant, record.scopes, record.break_glass) == ("st-mary", {"predict", "audit:read"}, "downtime")
    assert record.expires_at == house.clock.now + timedelta(hours=1)
    assert (record.created_by, record.note) == (on_call.key_id, "login provider down, patient waiting")
    (alarm,) = [line for line in lines if line["log_level"] == "critical"]
    assert (alarm["key_id"], alarm["reason"], alarm["by"]) == (record.key_id, "downtime", on_call.key_id)
    (event,) = house.log.events
    body = fields_of(event)
    assert (body["type"], body["key"], body["reason"]) == ("key.break-glass", record.key_id, "downtime")
    assert "patient waiting" not in str(body) + str(lines)
    assert "Sato" not in str(body) + str(lines)


async def test_without_a_scope_named_it_holds_what_the_policy_lists(house: House, on_call: Administrator) -> None:
    record = (await house.rules.keys.break_glass(on_call, wanted(scopes=frozenset(), minutes=240))).record
    assert record is not None
    assert {"predict", "switches:write", "audit:read"} <= record.scopes
    assert not record.scopes & {"keys:write", "keys:approve", "keys:break-glass", "clients:write"}
    assert record.expires_at == house.clock.now + timedelta(hours=4)


@pytest.mark.parametrize(
    ("changes", "error", "names"),
    [
        ({"reason": "because"}, InvalidParameter, {"parameter": "reason"}),
        ({"reason": ""}, InvalidParameter, {"parameter": "reason"}),
        ({"note": ""}, InvalidParameter, {"parameter": "note"}),
        ({"note": "  short   "}, InvalidParameter, {"parameter": "note"}),
        ({"minutes": 241}, InvalidParameter, {"parameter": "minutes"}),
        ({"minutes": 0}, InvalidParameter, {"parameter": "minutes"}),
        ({"scopes": frozenset({"keys:write"})}, Forbidden, {"scope": "keys:write"}),
        ({"scopes": frozenset({CANARY})}, Forbidden, None),
    ],
)
async def test_what_no_break_glass_key_may_be(
    house: House, on_call: Administrator, changes: dict[str, Any], error: type[Exception], names: dict[str, str] | None
) -> None:
    for by in (on_call, OPERATOR):
        with pytest.raises(error) as refused:
            await house.rules.keys.break_glass(by, wanted(**changes))
        if names is not None:
            assert refused.value.members == names  # type: ignore[attr-defined]
    assert house.log.events == []


async def test_only_who_may_makes_one(house: House, issuer: Administrator) -> None:
    with pytest.raises(Forbidden) as refused:
        await house.rules.keys.break_glass(issuer, wanted())
    assert refused.value.members == {"scope": "keys:break-glass"}


async def test_it_cannot_be_prolonged(house: House, on_call: Administrator) -> None:
    record = (await house.rules.keys.break_glass(on_call, wanted(scopes=frozenset({"predict"})))).record
    assert record is not None
    admin = await house.person("Admin", "keys:write", "audit:read")
    later = {"expires_at": house.clock.now + timedelta(days=9)}
    for by in (admin, OPERATOR):
        with pytest.raises(InvalidParameter):
            await house.rules.keys.update(by, record.key_id, later, revision=None)
        with pytest.raises(InvalidParameter):
            await house.rules.keys.rotate(by, record.key_id)
    assert (await house.rules.keys.revoke(admin, record.key_id)).revoked_at is not None


@pytest.mark.parametrize("scope", ["keys:write", "keys:approve", "keys:break-glass", "clients:write"])
def test_a_policy_by_which_something_outlives_the_emergency_is_refused(scope: str) -> None:
    with pytest.raises(ValueError, match=scope):
        BreakGlass(scopes=("predict", scope))


@pytest.mark.parametrize("minutes", [{"max_minutes": 241}, {"minutes": 0}, {"minutes": 90, "max_minutes": 60}])
def test_a_policy_of_longer_lives_is_refused(minutes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="minutes"):
        BreakGlass(scopes=("predict",), **minutes)  # type: ignore[arg-type]


async def test_a_policy_without_scopes_offers_none(house: House, on_call: Administrator) -> None:
    with pytest.raises(Forbidden):
        BreakGlass().check(wanted(scopes=frozenset()))
