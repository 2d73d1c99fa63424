"""Stand-ins follow from the key alone: two engines with one key agree on everything, two keys share nothing."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support import deid

OTHER = b"another key of the tests, 32 bytes"
texts = st.text(
    st.characters(codec="ascii", exclude_categories=("Cc",), exclude_characters="\\"), min_size=1, max_size=40
)
uids = st.lists(st.integers(0, 10**6), min_size=2, max_size=6).map(lambda parts: "1.2." + ".".join(map(str, parts)))
ids = texts.map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Two engines with one key, as two workers have it, and one with another."""
    return [
        deid.engine_with(tmp_path_factory.mktemp(f"engine{number}"), "113107", key=key, accession="pseudonym")
        for number, key in enumerate((deid.KEY, deid.KEY, OTHER))
    ]


def _cleaned(engine, patient, accession, uid, tenant):
    ds = deid.header()
    ds.PatientID, ds.AccessionNumber, ds.SOPInstanceUID, ds.StudyInstanceUID = patient, accession, uid, uid + ".1"
    ds.PatientName = ds.PatientBirthDate = ""
    out = engine.deidentify(deid.image(ds), tenant=tenant)
    target = out.dataset
    day = date(int(target.StudyDate[:4]), int(target.StudyDate[4:6]), int(target.StudyDate[6:]))
    shift = (date(2024, 1, 2) - day).days
    return (target.PatientID, target.AccessionNumber, target.SOPInstanceUID, target.StudyInstanceUID), shift


@given(patient=ids, accession=ids.filter(lambda text: len(text) <= 16), uid=uids, tenant=texts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_key_agrees_and_two_share_nothing(engines, patient, accession, uid, tenant):
    one, two, other = (_cleaned(engine, patient, accession, uid, tenant) for engine in engines)
    assert one == two
    assert not set(one[0]) & set(other[0])
    assert not set(one[0]) & {patient, accession, uid, uid + ".1"}
    assert 100 <= one[1] <= 1000


@given(patient=ids, uid=uids, tenants=st.lists(texts, min_size=2, max_size=2, unique=True))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_tenants_share_nothing(engines, patient, uid, tenants):
    one, two = (_cleaned(engines[0], patient, "A1", uid, tenant) for tenant in tenants)
    assert not set(one[0]) & set(two[0])


def test_shifts_of_two_keys_are_not_related(engines):
    """One shift says nothing of another: over many patients they agree as often as chance has it."""
    agreed = sum(
        len({_cleaned(engine, f"P{number}", "A", "1.2.3", "a")[1] for engine in (engines[0], engines[2])}) == 1
        for number in range(60)
    )
    assert agreed <= 3  # of 901 days each: more than 3 of 60 by chance is one in ten million


@given(first=ids, second=ids)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_patients_never_share_a_pseudonym(engines, first, second):
    assume(first != second)
    one, two = (_cleaned(engines[0], patient, "A", "1.2.3", "a")[0][0] for patient in (first, second))
    assert one != two
