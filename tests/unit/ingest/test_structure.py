"""Step 2: files built like an attack are refused by their structure, before any parser of others sees them."""

import struct
import tracemalloc
import zlib

import pydicom
import pytest

from gateway.errors import CallerError, ImageTooLarge, NoPixels, Unreadable, UnsafeFile, UnsupportedTransferSyntax
from gateway.ingest.part10 import read_file
from gateway.settings import IngestSettings
from tests.support.dicom_files import (
    DEFLATED,
    IMPLICIT_LITTLE,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    attributes,
    element,
    file,
    implicit,
    item,
    sample,
    shown,
    text,
    us,
)

LIMITS = IngestSettings()
SEQUENCE = 0x00081140
PIXELS = element(0x7FE00010, "OB", bytes(range(4)))
IMAGE = attributes(2, 2) + PIXELS


def nested(depth: int, *, defined: bool, tag: int = SEQUENCE) -> bytes:
    inner = text(0x00100020, "LO", "ID")
    for _ in range(depth):
        if defined:
            inner = element(tag, "SQ", item(inner))
        else:
            inner = element(tag, "SQ", item(inner + ITEM_END, length=UNDEFINED) + SEQUENCE_END, length=UNDEFINED)
    return inner


def raw(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize("defined", [True, False])
def test_nesting_as_deep_as_the_limit_is_read_and_one_more_is_refused(defined: bool) -> None:
    deepest = read_file(file(nested(LIMITS.max_depth, defined=defined)), LIMITS).dataset
    for _ in range(LIMITS.max_depth):
        deepest = deepest[SEQUENCE].value[0]
    assert deepest[0x00100020].value == "ID"
    with pytest.raises(ImageTooLarge, match="nested deeper"):
        read_file(file(nested(LIMITS.max_depth + 1, defined=defined)), LIMITS)


@pytest.mark.parametrize("defined", [True, False])
def test_nesting_of_200_levels_is_refused(defined: bool) -> None:
    with pytest.raises(ImageTooLarge, match="nested deeper"):
        read_file(file(nested(200, defined=defined)), LIMITS)


def test_nesting_hidden_in_unknown_values_is_refused() -> None:
    inner = implicit(0x00100020, b"ID")
    for _ in range(200):
        inner = implicit(SEQUENCE, item(inner))
    with pytest.raises(ImageTooLarge, match="nested deeper"):
        read_file(file(element(SEQUENCE, "UN", item(inner))), LIMITS)
    with pytest.raises(ImageTooLarge, match="nested deeper"):
        read_file(file(text(0x00090010, "LO", "X") + element(0x00091001, "UN", item(inner))), LIMITS)


def test_a_deflate_bomb_stops_at_the_limit_and_not_later() -> None:
    bomb = raw(element(0x00420011, "OB", b"\0" * 50_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(UnsafeFile, match="inflate to more than"):
        read_file(file(bomb, DEFLATED), LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * LIMITS.max_inflate_ratio * len(bomb)


def test_a_deflated_data_set_is_read_and_what_follows_its_end_is_not() -> None:
    (frame,) = shown(file(raw(IMAGE) + b"MZ trailing", DEFLATED))
    assert frame.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("body", [raw(IMAGE)[:-5], b"not deflated at all"])
def test_deflated_data_that_are_corrupt_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable, match="deflated"):
        read_file(file(body, DEFLATED), LIMITS)


@pytest.mark.parametrize("length", [0xFFFFFFF0, 5, 0x7FFFFFFF])
def test_pixels_that_declare_more_than_remains_are_refused(length: int) -> None:
    with pytest.raises(UnsafeFile, match=r"\(7FE0,0010\) declares more"):
        read_file(file(attributes(2, 2) + element(0x7FE00010, "OB", bytes(4), length=length)), LIMITS)


@pytest.mark.parametrize(
    "body",
    [
        text(0x00100010, "PN", "X")[:-1],
        element(0x00100010, "PN", b"AB", length=3),
        element(0x00420011, "OB", b"AB", length=0xFFFFFFF0),
        us(0x00280010, 1) + b"\x28\x00\x11\x00US\x02\x00",
        element(SEQUENCE, "SQ", item(b""), length=9),
    ],
)
def test_a_value_that_breaks_off_is_refused(body: bytes) -> None:
    with pytest.raises(UnsafeFile):
        read_file(file(body), LIMITS)


def test_more_elements_than_the_limit_are_refused_at_any_depth() -> None:
    limits = IngestSettings(max_elements=100)
    flat = b"".join(us(0x00100000 + number, 0) for number in range(1, 102))
    empty_items = element(SEQUENCE, "SQ", item(b"") * 101)
    fragments = element(0x7FE00010, "OB", item(b"") * 101 + SEQUENCE_END, length=UNDEFINED)
    for body in (flat, empty_items, fragments):
        with pytest.raises(ImageTooLarge, match="more than 100 data elements"):
            read_file(file(body), limits)


@pytest.mark.parametrize("body", [implicit(0x00180050, b"1\\" * 501_000), implicit(0x00280106, bytes(1_100_000))])
def test_one_element_of_a_million_values_is_refused(body: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="values"):
        read_file(file(body, IMPLICIT_LITTLE), LIMITS)


def test_an_item_longer_than_its_sequence_is_refused() -> None:
    """Else the element behind the sequence would be read as part of the item, under the item's private creator."""
    private = text(0x00090010, "LO", "SAFE CREATOR")
    outside = text(0x00091001, "LO", "a name")
    sequence = element(SEQUENCE, "SQ", item(private, length=len(private) + len(outside)))
    with pytest.raises(UnsafeFile, match="longer than it"):
        read_file(file(sequence + outside), LIMITS)


def test_an_element_longer_than_its_item_is_refused() -> None:
    inner = element(0x00100020, "LO", b"AB", length=20)
    with pytest.raises(UnsafeFile, match="declares more"):
        read_file(file(element(SEQUENCE, "SQ", item(inner)) + text(0x00100030, "DA", "20200101" * 4)), LIMITS)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (us(0x00280010, 1) + us(0x00280010, 2), "occurs twice"),
        (element(SEQUENCE, "SQ", us(0x00280010, 1)), "not an item"),
        (element(SEQUENCE, "SQ", item(us(0x00280010, 1), length=UNDEFINED), length=UNDEFINED), "goes beyond|no end"),
        (element(SEQUENCE, "SQ", item(us(0x00280010, 1) + ITEM_END)), "stands where"),
        (ITEM_END + us(0x00280010, 1), "stands where"),
        (SEQUENCE_END + us(0x00280010, 1), "stands where"),
        (us(0x00080001, 1) + text(0x00020010, "UI", "1.2"), "stands outside"),
        (element(SEQUENCE, "SQ", item(text(0x00020010, "UI", "1.2"))), "stands outside"),
        (element(0x00100010, "UT", b"", length=UNDEFINED) + SEQUENCE_END, "undefined length"),
        (element(SEQUENCE, "SQ", implicit(0xFFFEE0DD, b"AB"), length=UNDEFINED), "has a length"),
        (element(0x7FE00010, "OB", item(b"AB", length=100) + SEQUENCE_END, length=UNDEFINED), "fragment"),
        (element(0x7FE00010, "OB", item(b"", length=UNDEFINED) + SEQUENCE_END, length=UNDEFINED), "fragment"),
        (element(0x7FE00010, "OB", item(b"AB"), length=UNDEFINED), "goes beyond"),
    ],
)
def test_a_structure_that_contradicts_itself_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(UnsafeFile, match=why):
        read_file(file(body), LIMITS)


def test_an_unknown_value_representation_is_unreadable() -> None:
    with pytest.raises(Unreadable, match=r"\(0010,0010\)"):
        read_file(file(us(0x00080001, 1) + b"\x10\x00\x10\x00ZZ\x02\x00AB"), LIMITS)


def test_what_follows_the_pixels_is_not_kept() -> None:
    tail = text(0xFFFCFFFC, "LO", "TAIL") + b"\x7fELF not an element, and a name"
    found = read_file(file(IMAGE + tail), LIMITS)
    assert 0xFFFCFFFC not in found.dataset
    assert shown(file(IMAGE + tail))[0].tolist() == [[0, 1], [2, 3]]


def test_a_writer_that_contradicts_its_own_transfer_syntax_is_understood() -> None:
    body = implicit(0x00100020, b"ID") + implicit(0x00280010, b"\x02\x00")
    assert read_file(file(body), LIMITS).dataset[0x00280010].value == 2
    assert read_file(file(IMAGE, IMPLICIT_LITTLE), LIMITS).dataset[0x00280010].value == 2


def test_group_lengths_are_dropped() -> None:
    found = read_file(file(element(0x00080000, "UL", bytes(4)) + IMAGE), LIMITS)
    assert 0x00080000 not in found.dataset
    assert found.dataset[0x00280010].value == 2


@pytest.mark.parametrize(
    ("vr", "good", "bad"),
    [
        ("DS", "1.5\\-2e3", "1.5\\Doe"),
        ("IS", "12", "Doe"),
        ("DA", "2020.01.31", "Doe^Jane"),
        ("TM", "10:11:12.5", "Doe"),
        ("DT", "20200131101112+0100", "Doe"),
        ("AS", "042Y", "DoeY"),
        ("UI", "1.2.3\\1.2", "1.2.Doe"),
    ],
)
def test_words_where_there_can_be_none_are_dropped(vr: str, good: str, bad: str) -> None:
    kept = read_file(file(element(SEQUENCE, "SQ", item(text(0x00189999, vr, good)))), LIMITS).dataset
    assert 0x00189999 in kept[SEQUENCE].value[0]
    dropped = read_file(file(element(SEQUENCE, "SQ", item(text(0x00189999, vr, bad)))), LIMITS).dataset
    assert 0x00189999 not in dropped[SEQUENCE].value[0]


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x00180050, "LO"), (0x00180050, "OB"), (0x00080020, "UN"), (SEQUENCE, "OB"), (0x00280106, "LT")]
)
def test_a_representation_of_words_where_the_dictionary_has_none_is_dropped(tag: int, vr: str) -> None:
    assert tag not in read_file(file(element(tag, vr, b"Doe^Jane" * (9000 if vr == "UN" else 1))), LIMITS).dataset


def test_representations_that_are_often_confused_are_kept() -> None:
    body = text(0x00080070, "SH", "Maker") + text(0x00180050, "IS", "5") + us(0x00280106, 1)
    assert len(read_file(file(body), LIMITS).dataset) == 3


def test_unknown_values_written_big_endian_are_looked_into() -> None:
    inner = struct.pack(">HH2sH", 0x0010, 0x0020, b"LO", 2) + b"ID"
    value = struct.pack(">HHL", 0xFFFE, 0xE000, len(inner)) + inner
    body = struct.pack(">HH2sHL", 0x0008, 0x1140, b"UN", 0, len(value)) + value
    found = read_file(file(body, "1.2.840.10008.1.2.2"), LIMITS)
    assert found.dataset[SEQUENCE].value[0][0x00100020].value == "ID"


def test_a_number_of_the_wrong_length_is_dropped() -> None:
    assert 0x00181310 not in read_file(file(element(0x00181310, "US", b"AB", length=3) + b"C"), LIMITS).dataset


def test_a_media_directory_is_refused_by_its_class_and_by_its_records() -> None:
    by_class = text(0x00020002, "UI", "1.2.840.10008.1.3.10")
    with pytest.raises(NoPixels, match="DICOMDIR"):
        read_file(file(IMAGE, meta=by_class), LIMITS)
    with pytest.raises(NoPixels, match="DICOMDIR"):
        read_file(file(element(0x00041220, "SQ", item(text(0x00041430, "CS", "PATIENT"))) + IMAGE), LIMITS)


def test_a_file_without_transfer_syntax_is_unreadable() -> None:
    with pytest.raises(Unreadable, match=r"\(0002,0010\)"):
        read_file(sample("meta_missing_tsyntax.dcm"), LIMITS)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.100", "1.2.3.4", "1.2.840.10008.1.2.4.110"])
def test_an_unsupported_transfer_syntax_is_refused_without_repeating_it(uid: str) -> None:
    with pytest.raises(UnsupportedTransferSyntax) as refusal:
        read_file(file(IMAGE, uid), LIMITS)
    assert uid not in refusal.value.detail


def test_instances_without_pixels_are_refused_by_name() -> None:
    for name in ("reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm"):
        with pytest.raises(NoPixels):
            shown(sample(name))


def flat(dataset: pydicom.Dataset, path: str = "") -> dict[str, tuple[str, str]]:
    found = {}
    for element_ in dataset:
        if element_.tag.element == 0 and element_.tag.group > 2:
            continue
        where = path + str(element_.tag)
        if element_.VR == "SQ":
            for number, inner in enumerate(element_.value):
                found |= flat(inner, f"{where}[{number}]")
        else:
            found[where] = (element_.VR, repr(element_.value))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "liver_1frame.dcm",
        "rtdose.dcm",
        "rtplan.dcm",
        "reportsi.dcm",
        "test-SR.dcm",
        "UN_sequence.dcm",
        "examples_overlay.dcm",
        "waveform_ecg.dcm",
    ],
)
def test_the_header_is_the_one_that_pydicom_reads(name: str) -> None:
    path = pydicom.data.get_testdata_file(name, download=False)
    assert flat(read_file(sample(name), LIMITS).dataset) == flat(pydicom.dcmread(path, stop_before_pixels=True))


def test_private_items_are_reached_where_a_plain_reader_leaves_bytes() -> None:
    """A sequence of unknown private VR still is read as items, so that de-identification can look into it."""
    found = read_file(sample("priv_SQ.dcm"), LIMITS)
    (inner,) = found.dataset[0x3F031001].value
    assert inner[0x00080090].VR == "PN"


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm", "liver_1frame.dcm"])
def test_a_file_cut_anywhere_is_refused_by_name(name: str) -> None:
    whole = sample(name)
    pixels = read_file(whole, LIMITS).pixels
    assert pixels is not None
    step = max(1, pixels.end // 200)
    for end in range(0, pixels.end, step):
        with pytest.raises(CallerError):
            shown(whole[:end])


def test_a_truncated_header_cannot_hide_in_struct_errors() -> None:
    with pytest.raises(CallerError):
        read_file(file(struct.pack("<HH", 0x0008, 0x0005) + b"OB\0\0\0\0")[:-2], LIMITS)
