"""The walk through a header: each action, each depth, each trick."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from gateway.errors import NotSanitizable
from tests.support import deid


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return deid.engine(folder=tmp_path_factory.mktemp("policy"))


def clean(engine, dataset, tenant="a"):
    return engine.deidentify(deid.image(dataset), tenant=tenant)


def test_each_action_code_does_what_it_says(engine):
    ds = deid.header()
    ds.InstitutionAddress = "1 Example Road"  # X
    ds.ReferringPhysicianName = "Refer^Rita"  # Z
    ds.PersonName = "Person^Paula"  # D
    ds.FrameOfReferenceUID = "1.2.3.9"  # U
    ds.ContentDate = "20240102"  # Z/D, type 2 in the CT IOD
    ds.SeriesDate = "20240102"  # X/D, type 3
    ds.AcquisitionDate = "20240102"  # X/Z, type 3
    ds.ProtocolName = "Protocol for Erika"  # X/D, type 3
    ds.ContrastBolusAgent = "Agent for Erika"  # Z/D, type 2
    out = clean(engine, ds)
    target = out.dataset
    assert "InstitutionAddress" not in target
    assert target["ReferringPhysicianName"].is_empty
    assert target.PersonName == "REMOVED"
    assert target.FrameOfReferenceUID.startswith("2.25.")
    assert target["ContentDate"].is_empty
    assert "SeriesDate" not in target
    assert "AcquisitionDate" not in target
    assert "ProtocolName" not in target
    assert target["ContrastBolusAgent"].is_empty
    assert {"removed", "emptied", "replaced", "uid"} <= set(out.report.actions)


def test_what_describes_the_image_is_kept(engine):
    ds = deid.header()
    ds.WindowCenter, ds.RescaleSlope, ds.RescaleType, ds.PhotometricInterpretation = 40, 1, "HU", "MONOCHROME2"
    ds.BodyPartExamined, ds.PatientPosition, ds.SliceThickness, ds.ConvolutionKernel = "HEAD", "HFS", 5, "H30s"
    target = clean(engine, ds).dataset
    for keyword in (
        "Rows", "PixelSpacing", "ImageOrientationPatient", "ImageType", "Modality", "SOPClassUID", "WindowCenter",
        "RescaleSlope", "RescaleType", "PhotometricInterpretation", "BodyPartExamined", "PatientPosition",
        "SliceThickness", "ConvolutionKernel", "SpecificCharacterSet",
    ):  # fmt: skip
        assert target[keyword].value == ds[keyword].value, keyword


def test_the_object_says_what_was_done_to_it(engine):
    target = clean(engine, deid.header()).dataset
    assert target.PatientIdentityRemoved == "YES"
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in target.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM")]
    assert target.LongitudinalTemporalInformationModified == "REMOVED"
    assert "2026d" in target.DeidentificationMethod[0]


def test_the_file_meta_is_new(engine):
    ds = deid.header()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.SourceApplicationEntityTitle = "ERIKAS_PACS"
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3.77"
    ds.file_meta.PrivateInformation = b"Erika"
    ds.file_meta.ImplementationVersionName = "THEIRS"
    meta = clean(engine, ds).dataset.file_meta
    assert {element.keyword for element in meta} == {
        "FileMetaInformationVersion", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID",
        "ImplementationClassUID", "ImplementationVersionName",
    }  # fmt: skip
    assert meta.MediaStorageSOPInstanceUID == clean(engine, ds).dataset.SOPInstanceUID
    assert meta.ImplementationVersionName.startswith("CORDON")


def test_uids_agree_over_objects_and_depths(engine):
    first, second = deid.header(), deid.header()
    second.SOPInstanceUID = "1.2.3.4.6"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = first.SOPClassUID, first.SOPInstanceUID
    second.ReferencedImageSequence = Sequence([reference])
    one, two = clean(engine, first), clean(engine, second)
    assert one.pseudonyms.study == two.pseudonyms.study
    assert one.pseudonyms.instance != two.pseudonyms.instance
    assert two.dataset.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.dataset.SOPInstanceUID
    assert two.dataset.ReferencedImageSequence[0].ReferencedSOPClassUID == first.SOPClassUID


def test_tenants_cannot_be_linked(engine):
    one, two = (clean(engine, deid.header(), tenant) for tenant in "ab")
    for name in ("patient", "study", "series", "instance"):
        assert getattr(one.pseudonyms, name) != getattr(two.pseudonyms, name)
    assert one.dataset.PatientID == one.pseudonyms.patient


def test_the_source_is_not_changed(engine):
    ds = deid.header()
    before = ds.to_json()
    clean(engine, ds)
    assert ds.to_json() == before


def test_private_overlay_curve_and_icon_are_gone_at_every_depth(engine):
    def littered() -> Dataset:
        ds = Dataset()
        block = ds.private_block(0x0009, "VENDOR", create=True)
        block.add_new(1, "LO", "Erika")
        ds.add(DataElement(Tag(0x60020010), "US", 4))
        ds.add(DataElement(Tag(0x60023000), "OW", b"\1\2"))
        ds.add(DataElement(Tag(0x50003000), "OW", b"\1\2"))
        icon = Dataset()
        icon.Rows = 1
        ds.IconImageSequence = Sequence([icon])
        return ds

    ds = deid.header()
    ds.update(littered())
    middle = littered()
    middle.SharedFunctionalGroupsSequence = Sequence([littered()])
    ds.PerFrameFunctionalGroupsSequence = Sequence([middle])
    out = clean(engine, ds)
    left = [element.tag for element in out.dataset.iterall()]
    assert not [tag for tag in left if tag.group & 1 or tag.group >> 8 in (0x50, 0x60) or tag == 0x00880200]
    assert out.dataset.PerFrameFunctionalGroupsSequence[0].SharedFunctionalGroupsSequence is not None
    assert out.report.actions["private"] == 6
    assert out.report.actions["overlay"] == 6
    assert out.report.actions["curve"] == 3


def test_group_lengths_command_elements_and_unknown_tags_are_dropped(engine):
    ds = deid.header()
    ds.add(DataElement(Tag(0x00080000), "UL", 100))
    ds.add(DataElement(Tag(0x00000600), "AE", "ERIKA"))
    ds.add(DataElement(Tag(0x00280FFE), "LO", "Erika"))
    target = clean(engine, ds).dataset
    assert not {0x00080000, 0x00000600, 0x00280FFE} & set(target.keys())


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00140104, "PN", "Second^Reviewer"),
        (0x00140102, "DA", "20240102"),
        (0x00080404, "DT", "20240102101010"),
        (0x00140103, "TM", "101010"),
        (0x00281055, "LO", "a window for Erika"),
        (0x00140028, "ST", "Erika"),
        (0x300A0108, "SH", "Erika"),
        (0x00740 << 12 | 0x1238, "LT", "Erika"),
        (0x00820003, "UT", "Erika"),
        (0x00080119, "UC", "Erika"),
        (0x00081190, "UR", "http://pacs/erika"),
        (0x00282000, "OB", b"a profile named Erika"),
        (0x00280103, "UN", b"Erika   "),
        (0x00280010, "LO", "Erika in Rows"),
        (0x00280010, "US", b"Erika in Rows!"),
        (0x00180050, "DS", b"Erika"),
        (0x00200013, "IS", b"Erika"),
        (0x00180015, "CS", "ERIKAXYZ"),
        (0x00180015, "CS", b"erika"),
        (0x00281054, "LO", "Erika"),
        (0x00180085, "SH", "Erika"),
    ],
)
def test_text_where_the_table_has_no_row_does_not_pass(engine, tag, vr, value):
    ds = deid.header()
    if isinstance(value, bytes):
        ds[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    else:
        ds.add(DataElement(Tag(tag), vr, value))
    target = clean(engine, ds).dataset
    assert Tag(tag) not in target or target[tag].value != value


def test_an_unlisted_uid_is_replaced_unless_it_is_the_standards_own(engine):
    ds = deid.header()
    ds.add(DataElement(Tag(0x00080117), "UI", "1.2.840.99.5"))  # Context UID
    ds.add(DataElement(Tag(0x00081150), "UI", ["1.2.840.10008.5.1.4.1.1.4", "1.2.99"]))
    target = clean(engine, ds).dataset
    assert target[0x00080117].value.startswith("2.25.")
    assert target[0x00081150].value[0] == "1.2.840.10008.5.1.4.1.1.4"
    assert target[0x00081150].value[1].startswith("2.25.")


def test_one_unknown_term_among_several_is_replaced_where_it_stands(engine):
    ds = deid.header()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "ERIKAXYZ", "NORM"]
    assert list(clean(engine, ds).dataset.ImageType) == ["ORIGINAL", "PRIMARY", "OTHER", "NORM"]


@pytest.mark.parametrize("garbage", [b"Erika....", b"\xfe\xff\x00\xe0\xff\x00\x00\x00Erika", b"\xfe\xff\x00\xe0Erika"])
def test_a_sequence_of_garbage_does_not_pass(engine, garbage):
    ds = deid.header()
    ds[Tag(0x00082112)] = RawDataElement(Tag(0x00082112), "SQ", len(garbage), garbage, 0, False, True)
    buffer = io.BytesIO()
    clean(engine, ds).dataset.save_as(buffer, enforce_file_format=True)
    assert b"Erika" not in buffer.getvalue()


def test_no_patient_id_gives_no_pseudonym_and_an_empty_id_stays_empty(engine):
    ds = deid.header()
    ds.PatientID = ""
    out = clean(engine, ds)
    assert out.pseudonyms.patient is None
    assert out.dataset["PatientID"].is_empty
    assert out.dataset["PatientName"].is_empty


def test_what_comes_out_can_be_written_and_read_again(engine):
    out = clean(engine, deid.header()).dataset
    buffer = io.BytesIO()
    out.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    again = pydicom.dcmread(buffer)
    assert again.PatientIdentityRemoved == "YES"
    assert buffer.getvalue()[:128] == bytes(128)


def test_the_report_counts_and_holds_no_value(engine):
    out = clean(engine, deid.header())
    text = repr(out) + repr(out.report.as_json())
    for value in ("Testmann", "Erika", "MRN-778812", "ACC55012", "19611105", "1.2.3.4"):
        assert value not in text
    assert sum(out.report.actions.values()) == sum(out.report.groups.values()) > 0


def test_an_identifier_that_survives_refuses_the_image_and_is_not_quoted(engine):
    ds = deid.header()
    ds.PatientID = "77881234567"
    ds.SliceThickness = "77881234567"
    with pytest.raises(NotSanitizable) as caught:
        clean(engine, ds)
    assert "(0018,0050)" in caught.value.detail
    assert "7788" not in caught.value.detail


def test_raster_segments_are_counted_by_kind(engine):
    report = engine.deidentify(deid.image(segments={"exif": 1, "xmp": 2}), tenant="a").report
    assert report.actions == {"metadata": 3}
    assert report.groups == {"exif": 1, "xmp": 2}


def test_every_rule_says_what_it_does(engine):
    rulebook = engine.rulebook
    sentences = {rulebook.rule(tag, vr, (vr,)).describe() for tag, vr in (
        (0x00100010, "PN"), (0x00081040, "LO"), (0x00080018, "UI"), (0x0040A123, "PN"), (0x00280010, "US"),
        (0x00181210, "SH"), (0x00082112, "SQ"), (0x00180015, "CS"), (0x00180050, "DS"), (0x00091001, "LO"),
    )}  # fmt: skip
    assert len(sentences) == 10
    assert all(sentence.endswith(".") and len(sentence) > 4 for sentence in sentences)


def test_an_unknown_character_set_gets_no_dummy(engine):
    ds = deid.header()
    ds._dict[Tag(0x00080005)] = RawDataElement(Tag(0x00080005), "CS", 10, b"ERIKA-1234", 0, False, True)
    assert "SpecificCharacterSet" not in clean(engine, ds).dataset


def test_nothing_of_an_instance_is_remembered(engine):
    ds = deid.header()
    ds[Tag(0x00180015)] = RawDataElement(Tag(0x00180015), "CS", 8, b"ERIKAXYZ", 0, False, True)
    ds[Tag(0x00180050)] = RawDataElement(Tag(0x00180050), "DS", 6, b"778812", 0, False, True)
    clean(engine, ds)
    remembered = {
        value
        for rule in [*engine.rulebook._made.values(), *engine.rulebook._by_check.values()]
        for value in getattr(rule, "_seen", ())
    }
    assert not {b"ERIKAXYZ", b"778812"} & remembered
