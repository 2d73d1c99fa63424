"""A newborn is examined on the day of its birth: a date that a policy keeps is told as what it is."""

from __future__ import annotations

import pytest

from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import objects
from tests.support.deid import header_engine


def _born_on_the_study_date(**changes: str) -> bytes:
    dataset = objects.read(objects.mr())
    dataset.PatientBirthDate = dataset.StudyDate
    for name, value in changes.items():
        setattr(dataset, name, value)
    return objects._part10(dataset)


@pytest.mark.parametrize("policy", ["basic", "research", "longitudinal", "internal-qa"])
def test_the_object_is_given_back_without_the_birth_date(tmp_path, policy):
    found = decode_object(Upload(_born_on_the_study_date()), IngestSettings())
    done = header_engine(policy, tmp_path).deidentify_object(found, tenant="t")
    clean = objects.read(done.data)
    assert not clean.get("PatientBirthDate")
    if policy in {"longitudinal", "internal-qa"}:
        assert clean.StudyDate == "20190514"
    else:
        assert b"20190514" not in done.data


def test_the_birth_date_in_text_is_still_an_identifier(tmp_path):
    body = _born_on_the_study_date(StationName="20190514")  # a kept device's name, as internal-qa keeps it
    found = decode_object(Upload(body), IngestSettings())
    done = header_engine("internal-qa", tmp_path).deidentify_object(found, tenant="t")
    assert "20190514" not in str(objects.read(done.data).get("StationName", ""))
