"""Regions by device and by ultrasound object, risk classes, and what decides nothing without being read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from pydicom.dataset import Dataset

from gateway.deid.engine import DeidEngine
from gateway.deid.risk import risk
from gateway.deid.templates import Templates, ultrasound_regions
from gateway.ingest.decode import decode_object
from gateway.ingest.upload import Upload
from gateway.settings import IngestSettings
from tests.support import deid
from tests.support.stored_pixels import Form, file, picture, stored

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = deid.POLICY.with_name("pixels.yaml")
GREY = Form("grey", 0)


def _engine(folder: Path, *, templates: str | None = None, **whole: object) -> DeidEngine:
    document = yaml.safe_load(deid.POLICY.read_text(encoding="utf-8"))
    document["pixels"]["whole"] |= whole
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    if templates is not None:
        (folder / "pixels.yaml").write_text(templates, encoding="utf-8")
    return DeidEngine.load(path, deid.KEY)


def _clean(engine, **attributes):
    data = file(GREY, [stored(GREY, picture(line="") + np.uint8(20))], **attributes)
    found = decode_object(Upload(data), IngestSettings())
    out = engine.deidentify_object(found, tenant="a")
    ((_, after, _),) = decode_object(Upload(out.data), IngestSettings()).pixels.decoded()
    return out, after


def _regions(*boxes):
    items = []
    for left, top, right, bottom in boxes:
        item = Dataset()
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
        items.append(item)
    return items


def _header(**attributes):
    ds = Dataset()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def test_the_shipped_file_is_read_and_every_region_is_one():
    templates = Templates.load(SHIPPED)
    assert len(templates.all) > 80
    assert all(width and height for template in templates.all for _, _, width, height in template.mask)


OWN = """templates:
  - name: own-device
    source: site
    when: {manufacturer: ["ACME"], model: ["SCANNER"], rows: 192}
    mask: [[0, 0, 256, 30], [200, 150, 500, 500]]
"""


def test_a_template_masks_its_regions_whatever_is_found(tmp_path):
    engine = _engine(tmp_path, templates=OWN)
    out, after = _clean(engine, Manufacturer="Acme Medical", ManufacturerModelName="The Scanner 2")
    assert not after[:30].any()
    assert not after[150:, 200:].any()
    assert after[30:150].all()
    assert out.report.templates == ("own-device",)
    assert out.report.as_json()["templates"] == ["own-device"]
    assert (out.report.frames_masked, out.report.regions_masked) == (1, 0)
    assert out.report.masked_share == pytest.approx((30 * 256 + 42 * 56) / (192 * 256), abs=0.001)


@pytest.mark.parametrize("other", [{"Manufacturer": "Other"}, {"ManufacturerModelName": "X"}, {}])
def test_a_template_for_another_device_masks_nothing(tmp_path, other):
    engine = _engine(tmp_path, templates=OWN)
    device = {"Manufacturer": "ACME", "ManufacturerModelName": "SCANNER"} | other if other else {}
    out, _ = _clean(engine, **device)
    assert out.report.templates == ()
    assert out.report.frames_masked == 0


def test_the_templates_are_a_part_of_the_policys_digest(tmp_path):
    (tmp_path / "a").mkdir()
    assert _engine(tmp_path, templates=OWN).policy_digest != _engine(tmp_path / "a").policy_digest


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("rows: 192", "rowz: 192", "line 4: templates.0.when.rowz"),
        ("rows: 192", "rows: -1", "line 4: templates.0.when.rows"),
        ('["ACME"]', '["acme"]', "line 4: templates.0.when.manufacturer"),
        ("source: site", "source: hearsay", "line 3: templates.0.source"),
        ("[200, 150, 500, 500]", "[200, 150, 500]", "line 5: templates.0.mask.1"),
        ('when: {manufacturer: ["ACME"], model: ["SCANNER"], rows: 192}', "when: {}", "line 4: templates.0.when"),
        ("templates:", "other:", "line 1: templates"),
        (OWN, "- 1", "line 1: must be a mapping"),
        (OWN, "a: [", "not YAML"),
    ],
)
def test_a_bad_line_is_named(tmp_path, was, becomes, said):
    assert was in OWN
    with pytest.raises(ValueError, match=r"pixels\.yaml") as caught:
        _engine(tmp_path, templates=OWN.replace(was, becomes))
    assert said in str(caught.value)


def test_outside_of_ultrasound_regions_is_masked_if_the_policy_says_so(tmp_path):
    regions = _regions((20, 30, 119, 99), (150, 30, 199, 99))
    mask = _engine(tmp_path, outside_ultrasound="mask")
    out, after = _clean(mask, Modality="US", SequenceOfUltrasoundRegions=regions)
    inside = np.zeros(after.shape, bool)
    inside[30:100, 20:120] = inside[30:100, 150:200] = True
    assert after[inside].all()
    assert not after[~inside].any()
    assert out.report.templates == ("outside-ultrasound-regions",)
    look = _engine(tmp_path, outside_ultrasound="look")
    out, after = _clean(look, Modality="US", SequenceOfUltrasoundRegions=regions)
    assert after.all()
    assert out.report.templates == ()


def test_regions_that_are_none_are_left_out():
    ds = _header(SequenceOfUltrasoundRegions=[*_regions((9, 9, 3, 20), (1, 2, 3, 4)), Dataset()])
    assert ultrasound_regions(ds) == ((1, 2, 4, 5),)
    assert ultrasound_regions(Dataset()) == ()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "high"),
        ({"Modality": "US"}, "high"),
        ({"Modality": "SC"}, "high"),
        ({"Modality": "OT"}, "high"),
        ({"Modality": "XC"}, "high"),
        ({"Modality": "ES"}, "high"),
        ({"Modality": "NONSENSE"}, "high"),
        ({"Modality": "CR"}, "medium"),
        ({"Modality": "MG"}, "medium"),
        ({"Modality": "CT"}, "medium"),
        ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, "medium"),
        ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "BurnedInAnnotation": "NO"}, "low"),
        ({"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY"], "BurnedInAnnotation": "NO"}, "low"),
        ({"Modality": "CR", "ImageType": ["ORIGINAL", "PRIMARY"], "BurnedInAnnotation": "NO"}, "medium"),
        ({"Modality": "CT", "ImageType": ["DERIVED", "SECONDARY"], "BurnedInAnnotation": "NO"}, "high"),
        ({"Modality": "CT", "BurnedInAnnotation": "YES"}, "high"),
        ({"Modality": "CT", "BurnedInAnnotation": "MAYBE"}, "high"),
        ({"Modality": "CT", "SeriesDescription": "Screen Save"}, "high"),
        ({"Modality": "CT", "SeriesDescription": "Lung screening"}, "medium"),
        ({"Modality": "MR", "SecondaryCaptureDeviceManufacturer": "X"}, "high"),
        ({"Modality": "MG", "ConversionType": "DF"}, "high"),
    ],
)
def test_risk_goes_by_what_the_header_says_and_by_default_it_is_high(attributes, expected):
    assert risk(_header(**attributes)) == expected


def test_the_report_names_the_class(tmp_path):
    engine = _engine(tmp_path)
    assert _clean(engine)[0].report.risk == "high"
    assert _clean(engine, Modality="CR")[0].report.risk == "medium"
