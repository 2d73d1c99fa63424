"""Which policy a request may name: deny by default."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.deid_policies import DeidPolicies
from gateway.errors import Forbidden, InvalidParameter
from gateway.settings import DeidSettings

SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "deid"
DEIDENTIFY = frozenset({"deidentify"})


@pytest.fixture
def settings(tmp_path) -> DeidSettings:
    """An installation with its own policy and two more files beside it."""
    text = (SHIPPED / "basic.yaml").read_text()
    for name in ("basic", "wider", "unoffered"):
        (tmp_path / f"{name}.yaml").write_text(text.replace("name: basic", f"name: {name}", 1))
    if (SHIPPED / "pixels.yaml").exists():
        shutil.copy(SHIPPED / "pixels.yaml", tmp_path)
    return DeidSettings(key="d" * 32, policy=tmp_path / "basic.yaml")


@pytest.fixture
def policies(settings) -> DeidPolicies:
    return DeidPolicies.load(settings, ["predict", "deidentify", "deidentify:wider"])


def test_the_installations_own_policy_needs_no_name_and_no_more_scope(policies, settings):
    for name in (None, "basic"):
        assert policies.resolve(name, DEIDENTIFY) == settings


def test_another_one_needs_its_own_scope(policies, settings):
    with pytest.raises(Forbidden) as refused:
        policies.resolve("wider", DEIDENTIFY)
    assert refused.value.members == {"scope": "deidentify:wider"}
    chosen = policies.resolve("wider", DEIDENTIFY | {"deidentify:wider"})
    assert chosen.policy == settings.policy.with_name("wider.yaml")
    assert chosen.key == settings.key


@pytest.mark.parametrize("name", ["unoffered", "../basic", "basic.yaml", "", "ZqxjKw", "/etc/passwd"])
def test_what_has_no_scope_is_not_offered_and_not_repeated(policies, name):
    with pytest.raises(InvalidParameter) as refused:
        policies.resolve(name, frozenset({"deidentify", "deidentify:wider", f"deidentify:{name}"}))
    assert "ZqxjKw" not in refused.value.detail
    assert "basic, wider" in refused.value.detail


def test_the_scope_of_the_own_policy_may_be_declared(settings):
    policies = DeidPolicies.load(settings, ["deidentify", "deidentify:basic"])
    assert policies.resolve("basic", DEIDENTIFY) == settings


def test_a_scope_without_a_file_stops_the_start(settings):
    with pytest.raises(ValueError, match=r"absent\.yaml"):
        DeidPolicies.load(settings, ["deidentify:absent"])


def test_a_file_that_bears_another_name_stops_the_start(settings):
    settings.policy.with_name("wider.yaml").write_text(settings.policy.read_text())
    with pytest.raises(ValueError, match=r"wider\.yaml: name: must be wider"):
        DeidPolicies.load(settings, ["deidentify:wider"])


def test_a_mistake_in_any_policy_on_offer_stops_the_start(settings):
    wider = settings.policy.with_name("wider.yaml")
    wider.write_text(wider.read_text() + "surprise: true\n")
    with pytest.raises(ValueError, match=r"wider\.yaml.*surprise"):
        DeidPolicies.load(settings, ["deidentify:wider"])


def test_the_start_records_which_files_they_were(policies):
    assert set(policies.digests) == {"basic", "wider"}
    assert len(set(policies.digests.values())) == 2
