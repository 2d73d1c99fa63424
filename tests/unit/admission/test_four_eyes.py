"""What needs a second pair of eyes does nothing until another person has approved it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.admission.access import AccessPolicy
from gateway.admission.four_eyes import FourEyes
from gateway.admission.keys import parse
from gateway.audit.events import fields_of
from gateway.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from tests.support.administration import GUARDED, OPERATOR, POLICIES, House, engine_on_a_copy, migrated
from tests.support.keys import MAKER, new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.admission.administrator import Administrator
    from gateway.admission.key_admin import Handed

AUDITOR = frozenset({"audit:read", "keys:read"})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("template"))


@pytest.fixture
async def house(template: Path, tmp_path: Path) -> AsyncIterator[House]:
    engine = engine_on_a_copy(template, tmp_path)
    yield House.on(engine, four_eyes=GUARDED)
    await engine.dispose()


@pytest.fixture
async def ann(house: House) -> Administrator:
    return await house.person("Ann", "keys:read", "keys:write", "keys:approve", "audit:read")


@pytest.fixture
async def ben(house: House) -> Administrator:
    return await house.person("Ben", "keys:read", "keys:write", "keys:approve", "audit:read")


async def asked(house: House, by: Administrator) -> Handed:
    handed = await house.rules.keys.issue(by, new_key(owner="Auditor", scopes=AUDITOR))
    assert handed.record is None
    assert handed.request is not None
    return handed


async def test_a_secret_is_dead_until_another_approves(house: House, ann: Administrator, ben: Administrator) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    presented = parse(handed.secret)
    assert presented is not None
    assert presented.key_id == handed.request.key_id
    assert await house.store.find(presented.key_id) is None

    decided, record = await house.rules.approval.approve(ben, handed.request.request_id)

    assert (decided.decision, decided.decided_by) == ("approved", ben.key_id)
    found = await house.store.existing(presented.key_id)
    assert found == record
    assert MAKER.matches(presented, found.secrets[0].digest)
    assert (found.scopes, found.created_by, found.owner) == (AUDITOR, ann.key_id, "Auditor")
    assert house.log.types == ["key.requested", "key.request-decided", "key.issued"]
    requested, decision, issued = map(fields_of, house.log.events)
    assert (requested["actor"], decision["actor"], issued["actor"]) == (ann.key_id, ben.key_id, ben.key_id)
    assert decision["requested_by"] == ann.key_id
    assert requested["request"] == decision["request"] == decided.request_id
    assert "Auditor" not in str([requested, decision, issued])


async def test_nobody_approves_their_own(house: House, ann: Administrator) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    second_key = await house.person("Ann", *ann.scopes)
    otherwise_typed = await house.person(" ann ", *ann.scopes)
    for by in (ann, second_key, otherwise_typed, replace(ann, person="Somebody")):
        with pytest.raises(Forbidden, match="Another person"):
            await house.rules.approval.approve(by, handed.request.request_id)
    assert await house.store.find(handed.request.key_id) is None


async def test_who_may_approve(house: House, ann: Administrator) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    weaker = await house.person("Cleo", "keys:read", "keys:approve")
    with pytest.raises(Forbidden) as refused:
        await house.rules.approval.approve(weaker, handed.request.request_id)
    assert refused.value.members == {"scope": "audit:read"}
    without = await house.person("Dan", "keys:read", "keys:write", "audit:read")
    for call in (house.rules.approval.approve, house.rules.approval.reject):
        with pytest.raises(Forbidden) as refused:
            await call(without, handed.request.request_id)
        assert refused.value.members == {"scope": "keys:approve"}
    elsewhere = await house.person("Eve", *ann.scopes, tenant="other")
    for call in (house.rules.approval.approve, house.rules.approval.reject, house.rules.approval.withdraw):
        with pytest.raises(NotFound):
            await call(elsewhere, handed.request.request_id)
    assert await house.rules.approval.list(elsewhere) == ()


async def test_a_rejected_request_keeps_no_digest_and_stays_rejected(
    house: House, ann: Administrator, ben: Administrator
) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    request_id = handed.request.request_id
    assert (await house.rules.approval.reject(ben, request_id)).decision == "rejected"
    assert (await house.requests.existing(request_id)).digest is None
    for call in (house.rules.approval.approve, house.rules.approval.reject):
        with pytest.raises(Conflict):
            await call(ben, request_id)
    assert house.log.types == ["key.requested", "key.request-decided"]
    assert await house.store.find(handed.request.key_id) is None


async def test_who_asked_can_withdraw(house: House, ann: Administrator, ben: Administrator) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    with pytest.raises(Forbidden):
        await house.rules.approval.withdraw(ben, handed.request.request_id)
    assert (await house.rules.approval.withdraw(ann, handed.request.request_id)).decision == "withdrawn"


async def test_a_request_is_void_after_its_time_and_that_is_on_record_once(
    house: House, ann: Administrator, ben: Administrator
) -> None:
    handed = await asked(house, ann)
    assert handed.request is not None
    house.clock.move(hours=24)
    with pytest.raises(Conflict):
        await house.rules.approval.approve(ben, handed.request.request_id)
    lists = await asyncio.gather(*(house.rules.approval.list(ben) for _ in range(3)))
    assert {found[0].decision for found in lists} == {"expired"}
    assert house.log.types == ["key.requested", "key.request-decided"]
    assert fields_of(house.log.events[1])["actor"] == "system"


async def test_a_change_that_only_the_database_notices_is_void_too(house: House, ben: Administrator) -> None:
    """Two who decide at once: one of them does."""
    ann = await house.person("Ann", *ben.scopes)
    handed = await asked(house, ann)
    assert handed.request is not None
    request = handed.request
    outcomes = await asyncio.gather(
        *(house.requests.approve(request, by=f"key_{number}") for number in range(4)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Conflict", "Conflict", "tuple"]


async def test_an_update_waits_and_then_holds_as_a_whole(house: House, ann: Administrator, ben: Administrator) -> None:
    record, _ = await house.store.issue(new_key(scopes=frozenset({"predict"})))
    patch = {"scopes": ["predict", "audit:read"], "note": "for the audit"}
    done = await house.rules.keys.update(ann, record.key_id, patch, revision=1)
    assert done.request is not None
    assert done.record == record
    assert await house.store.existing(record.key_id) == record

    _, after = await house.rules.approval.approve(ben, done.request.request_id)

    assert (after.scopes, after.note, after.revision) == ({"predict", "audit:read"}, "for the audit", 2)
    assert house.log.types == ["key.requested", "key.request-decided", "key.updated"]


async def test_an_approval_of_what_was_changed_since_does_nothing(
    house: House, ann: Administrator, ben: Administrator
) -> None:
    record, issued = await house.store.issue(new_key(scopes=AUDITOR))
    update = await house.rules.keys.update(ann, record.key_id, {"plan": "partner"}, revision=1)
    rotation = await house.rules.keys.rotate(ann, record.key_id)
    await house.rules.keys.update(OPERATOR, record.key_id, {"note": "changed since"}, revision=1)
    for request in (update.request, rotation.request):
        assert request is not None
        with pytest.raises(PreconditionFailed):
            await house.rules.approval.approve(ben, request.request_id)
        assert (await house.requests.existing(request.request_id)).decision is None
    found = await house.store.existing(record.key_id)
    assert (found.plan, [secret.digest for secret in found.secrets]) == ("standard", [issued.digest])


async def test_a_rotation_leaves_the_old_secret_until_it_is_approved(
    house: House, ann: Administrator, ben: Administrator
) -> None:
    record, old = await house.store.issue(new_key(scopes=AUDITOR))
    handed = await house.rules.keys.rotate(ann, record.key_id, timedelta(hours=1))
    assert handed.request is not None
    assert [secret.digest for secret in (await house.store.existing(record.key_id)).secrets] == [old.digest]
    house.clock.move(hours=3)
    _, after = await house.rules.approval.approve(ben, handed.request.request_id)
    ends = {secret.digest: secret.expires_at for secret in after.secrets}
    assert ends[old.digest] == house.clock.now + timedelta(hours=1)
    presented = parse(handed.secret)
    assert presented is not None
    assert any(MAKER.matches(presented, digest) for digest in ends)


async def test_what_gives_nobody_anything_is_done_at_once(house: House, ann: Administrator) -> None:
    record, _ = await house.store.issue(new_key(scopes=AUDITOR))
    assert (await house.rules.keys.update(ann, record.key_id, {"note": "x"}, revision=1)).request is None
    weaker = await house.rules.keys.update(ann, record.key_id, {"scopes": ["audit:read"]}, revision=2)
    assert weaker.record.scopes == {"audit:read"}
    weaker = await house.rules.keys.update(ann, record.key_id, {"scopes": ["predict"]}, revision=3)
    assert weaker.record.scopes == {"predict"}
    assert (await house.rules.keys.revoke(ann, record.key_id)).revoked_at is not None
    assert (await house.rules.keys.issue(ann, new_key())).request is None


@pytest.mark.parametrize("end", ["revoked", "expired", "weaker"])
async def test_a_request_falls_with_the_one_who_asked(house: House, ben: Administrator, end: str) -> None:
    ann = await house.person("Ann", *ben.scopes)
    handed = await asked(house, ann)
    assert handed.request is not None
    match end:
        case "revoked":
            await house.store.revoke(ann.key_id)
        case "expired":
            soon = {"expires_at": house.clock.now + timedelta(minutes=1)}
            await house.rules.keys.update(OPERATOR, ann.key_id, soon, revision=None)
            house.clock.move(minutes=1)
        case "weaker":
            await house.rules.keys.update(OPERATOR, ann.key_id, {"scopes": ["keys:write"]}, revision=None)
    with pytest.raises(Conflict, match="may not ask"):
        await house.rules.approval.approve(ben, handed.request.request_id)
    assert (await house.rules.approval.reject(ben, handed.request.request_id)).decision == "rejected"


async def test_the_operator_waits_for_nobody_and_may_be_the_second(house: House, ann: Administrator) -> None:
    assert (await house.rules.keys.issue(OPERATOR, new_key(scopes=AUDITOR))).request is None
    handed = await asked(house, ann)
    assert handed.request is not None
    decided, _ = await house.rules.approval.approve(OPERATOR, handed.request.request_id)
    assert decided.decided_by == "cli"
    assert fields_of(house.log.events[-1])["actor"] == "cli"


async def test_an_emergency_does_not_wait(house: House) -> None:
    from gateway.admission.break_glass import BreakGlassWanted

    alone = await house.person("On call", "keys:break-glass")
    scopes = frozenset({"audit:read"})
    wanted = BreakGlassWanted("Dr. Sato", "st-mary", scopes, "lockout", "both administrators are away")
    handed = await house.rules.keys.break_glass(alone, wanted)
    assert handed.request is None
    assert handed.record is not None


async def test_bearers_of_one_issuer_are_as_many_people(house: House, ann: Administrator) -> None:
    """The owner of a token's bearer is the issuer's name: they are told apart by their IDs."""
    handed = await house.rules.keys.issue(
        replace(ann, key_id="sub_one", person="sub_one"), new_key(owner="Auditor", scopes=AUDITOR)
    )
    assert handed.request is not None
    other = replace(ann, key_id="sub_two", person="sub_two")
    with pytest.raises(Forbidden):
        await house.rules.approval.approve(
            replace(other, key_id="sub_one", person="sub_one"), handed.request.request_id
        )
    assert (await house.rules.approval.approve(other, handed.request.request_id))[0].decision == "approved"


def test_a_rule_that_does_not_guard_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="keys:approve"):
        FourEyes(scopes=("audit:read",))


def test_the_shipped_rule_is_off_and_declared_scopes_are_asked_for(tmp_path: Path) -> None:
    shipped = (POLICIES / "access.yaml").read_text()
    assert not AccessPolicy.load(POLICIES / "access.yaml").four_eyes.guards({"keys:write", "keys:approve"})
    wrong = tmp_path / "access.yaml"
    wrong.write_text(shipped.replace("four_eyes:\n  scopes: []", 'four_eyes:\n  scopes: ["keys:approve", nobody]'))
    with pytest.raises(ValueError, match="nobody"):
        AccessPolicy.load(wrong)
