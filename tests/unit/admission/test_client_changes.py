"""Who may give a client which scopes. That what is changed is on record: tests/api/test_clients.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admission.access import AccessPolicy
from gateway.admission.administrator import Administrator
from gateway.admission.client_changes import ClientChanges
from gateway.admission.four_eyes import FourEyes
from gateway.admission.plans import Plans
from gateway.errors import Forbidden, InvalidParameter
from tests.support.clients import new_client

POLICIES = Path(__file__).resolve().parents[3] / "policies"
ALL = frozenset(AccessPolicy.load(POLICIES / "access.yaml").scopes)


def changes(*guarded: str) -> ClientChanges:
    access = AccessPolicy.load(POLICIES / "access.yaml")
    access.four_eyes = FourEyes(scopes=guarded)
    return ClientChanges(None, access, Plans.load(POLICIES / "plans.yaml"), None)  # type: ignore[arg-type]


def caller(*scopes: str) -> Administrator:
    return Administrator("request", "key_7Hq2mXc9RtLa", "st-mary", "Anna", frozenset(scopes))


def test_what_is_grantable_is_given_by_whoever_may_register() -> None:
    changes().check(caller("clients:write"), new_client(scopes=frozenset({"predict"})))


def test_any_other_scope_is_given_by_its_holder_alone() -> None:
    wanted = new_client(scopes=frozenset({"audit:read"}))
    changes().check(caller("clients:write", "audit:read"), wanted)
    with pytest.raises(Forbidden, match="audit:read"):
        changes().check(caller("clients:write"), wanted)


def test_what_needs_a_second_pair_of_eyes_is_given_at_the_machine_alone() -> None:
    wanted = new_client(scopes=frozenset({"predict", "keys:write"}))
    guarding = changes("keys:write", "keys:approve")
    with pytest.raises(Forbidden, match="second pair of eyes"):
        guarding.check(caller(*ALL), wanted)
    guarding.check(caller(*ALL), new_client(scopes=frozenset({"predict"})))
    guarding.check(Administrator.operator(), wanted)


@pytest.mark.parametrize("change", [{"scopes": frozenset({"everything"})}, {"plan": "none"}])
def test_what_no_policy_knows_is_refused_for_everyone(change: dict[str, object]) -> None:
    for by in (caller(*ALL), Administrator.operator()):
        with pytest.raises(InvalidParameter, match="No such"):
            changes().check(by, new_client(**change))
