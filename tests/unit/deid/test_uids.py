"""Stand-ins: stable, well formed, unlinkable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary as STANDARD
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from gateway.deid.uids import StandIns
from tests.support.deid import KEY

ONE = StandIns.of(KEY, "one")


def test_the_same_key_and_tenant_give_the_same_stand_ins():
    again = StandIns.of(KEY, "one")
    assert (again.uid("1.2.3"), again.patient("P1", "H")) == (ONE.uid("1.2.3"), ONE.patient("P1", "H"))


@pytest.mark.parametrize("other", [StandIns.of(KEY, "two"), StandIns.of(KEY[::-1], "one")], ids=["tenant", "key"])
def test_another_tenant_or_key_gives_unlinkable_ones(other):
    assert other.uid("1.2.3") != ONE.uid("1.2.3")
    assert other.patient("P1", "H") != ONE.patient("P1", "H")


@given(st.text(alphabet="0123456789.", min_size=1, max_size=64).filter(lambda uid: uid not in STANDARD))
def test_a_new_uid_is_valid_and_does_not_hold_the_old_one(old):
    new = ONE.uid(old)
    assert re.fullmatch(r"2\.25\.(0|[1-9]\d{0,38})", new)
    assert UID(new).is_valid
    assert new != old


def test_the_standards_own_uids_stay():
    assert ONE.uid(CTImageStorage) == CTImageStorage
    assert ONE.uid(f"{ExplicitVRLittleEndian}\0") == ExplicitVRLittleEndian


def test_padding_is_not_part_of_an_identifier():
    assert ONE.uid("1.2.3\0") == ONE.uid("1.2.3")
    assert ONE.patient("P1 ", "H") == ONE.patient("P1", "H ")


def test_the_issuer_tells_equal_ids_apart_and_parts_do_not_run_together():
    assert len({ONE.patient("P1", "A"), ONE.patient("P1", "B"), ONE.patient("P1A", ""), ONE.patient("P", "1A")}) == 4


def test_no_patient_id_no_pseudonym():
    assert ONE.patient("  ", "H") is None


def test_keys_are_in_no_repr():
    assert repr(ONE) == "StandIns()"


def test_a_release_does_not_change_what_follows_from_a_key():
    """Who changes the derivation breaks every collection that is added to over time."""
    assert ONE.uid("1.2.3") == "2.25.170334709602745767704945077863543408575"
    assert ONE.patient("P1", "H") == "WOP2LDUSY4HBVDR7E6UTEMS4"
    assert ONE.accession("A1") == "A6P43EW7BIMSWIXY"
    assert ONE.device("AE1") == "EH7ABVHQEMAWZOP2"
    assert ONE.days("P1", "H", 365, 3650) == 2196


def test_none_stays_none():
    assert (ONE.uid(""), ONE.patient("", "H"), ONE.accession(" "), ONE.device("")) == ("", None, "", "")


@given(st.text(max_size=20), st.integers(1, 5000), st.integers(30, 5000))
def test_a_shift_keeps_to_its_bounds(patient, least, room):
    assert least <= ONE.days(patient, "", least, least + room) <= least + room
