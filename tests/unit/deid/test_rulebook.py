"""The rule book lists itself: every row of the table, and what decides on the rest."""

from __future__ import annotations

import pytest

from gateway.deid.policy import OwnRule, load_policy
from gateway.deid.rulebook import Rulebook
from gateway.deid.tables import PROFILE_ROWS, load_tables
from tests.support import deid

POLICIES = sorted(deid.POLICY.parent.glob("*.yaml"))
READY = [path for path in POLICIES if "profile:" in path.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def tables():
    return load_tables()


def book(path, tables):
    return Rulebook(tables, load_policy(path)[0])


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_ready_policy_describes_every_rule(path, tables):
    listed = list(book(path, tables).describe())
    from_table = [line for line in listed if line.source == "Table E.1-1" or line.source.startswith("option ")]
    assert len(from_table) == PROFILE_ROWS
    assert all(line.sentence.endswith(".") and len(line.sentence) > 4 for line in listed)
    assert {line.source.removeprefix("option ") for line in from_table} - {"Table E.1-1"} <= set(
        load_policy(path)[0].options
    )


def test_the_five_ready_policies_are_there():
    assert {path.stem for path in READY} == {"basic", "internal-qa", "longitudinal", "research", "safe-harbor"}


def test_a_policy_without_dates_says_so_of_every_date(tables):
    listed = {line.tag: line for line in book(deid.POLICY, tables).describe()}
    assert (listed["(0008,0020)"].code, listed["(0008,0020)"].source) == ("Z", "Table E.1-1")
    kept = {line.tag: line for line in book(deid.POLICY.with_name("longitudinal.yaml"), tables).describe()}
    assert (kept["(0008,0020)"].code, kept["(0008,0020)"].source) == ("K", "option 113106")
    moved = {line.tag: line for line in book(deid.POLICY.with_name("research.yaml"), tables).describe()}
    assert (moved["(0008,0020)"].code, moved["(0008,0020)"].source) == ("C", "option 113107")
    assert "intervals stay" in moved["(0008,0020)"].sentence


def test_what_the_type_decides_is_said_for_each_type(tables):
    listed = {line.tag: line for line in book(deid.POLICY, tables).describe()}
    sentence = listed["(0008,0021)"].sentence  # Series Date: X/D
    assert "Type 1: " in sentence
    assert "Type 3: " in sentence


def test_own_rules_come_first_with_their_reason(tables):
    policy = load_policy(deid.POLICY)[0]
    own = OwnRule(tag="(0018,1030)", action="clean", why="protocol names are free text here")
    first = next(iter(Rulebook(tables, policy.model_copy(update={"rules": (own,)})).describe()))
    assert (first.tag, first.name, first.code, first.source) == ("(0018,1030)", "Protocol Name", "C", "own rule")
    assert own.why in first.sentence
