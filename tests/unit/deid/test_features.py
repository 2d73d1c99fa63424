"""Images that could show a face are refused where the policy says so."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    MRImageStorage,
    VLPhotographicImageStorage,
)  # fmt: skip

from gateway.errors import NotSanitizable
from tests.support import deid


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    return _engine(tmp_path_factory.mktemp("strict"))


def _engine(folder):
    # The pixels are not looked at, so that only the header decides.
    return deid.engine_with(folder, "113102", visible_features="refuse")


def shown(**values: object) -> Dataset:
    ds = deid.header()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def region(meaning: str) -> Sequence:
    item = Dataset()
    item.CodeMeaning = meaning
    return Sequence([item])


@pytest.mark.parametrize(
    "values",
    [
        {"BodyPartExamined": "HEAD"},
        {"BodyPartExamined": "BRAIN", "SOPClassUID": MRImageStorage},
        {"BodyPartExamined": "WHOLEBODY"},
        {},
        {"BodyPartExamined": ""},
        {"BodyPartExamined": "CHEST", "SeriesDescription": "Sinus 1.0 mm"},
        {"BodyPartExamined": "CHEST", "StudyDescription": "polytrauma cranio-thoracic"},
        {"AnatomicRegionSequence": region("Orbital structure")},
        {"SOPClassUID": VLPhotographicImageStorage, "BodyPartExamined": "FOOT"},
        {"SOPClassUID": ComputedRadiographyImageStorage, "BodyPartExamined": "SKULL"},
    ],
)
def test_what_could_show_a_face_is_refused(strict, values):
    with pytest.raises(NotSanitizable, match=r"certainty|face"):
        strict.deidentify(deid.image(shown(**values)), tenant="a")


@pytest.mark.parametrize(
    "values",
    [
        {"BodyPartExamined": "CHEST"},
        {"AnatomicRegionSequence": region("Knee")},
        {"SOPClassUID": ComputedRadiographyImageStorage},
    ],
)
def test_what_cannot_is_not(strict, values):
    target = strict.deidentify(deid.image(shown(**values)), tenant="a").dataset
    assert target.RecognizableVisualFeatures == "NO"
    assert "113102" in [item.CodeValue for item in target.DeidentificationMethodCodeSequence]


def test_a_picture_without_a_header_could_show_anything(strict):
    with pytest.raises(NotSanitizable):
        strict.deidentify(deid.image(), tenant="a")


def test_a_policy_that_accepts_them_claims_nothing(tmp_path):
    engine = deid.engine_with(tmp_path)
    target = engine.deidentify(deid.image(shown(BodyPartExamined="HEAD")), tenant="a").dataset
    assert target.get("RecognizableVisualFeatures") != "NO"
