"""Bytes read like a file, without a copy."""

from io import SEEK_CUR, SEEK_END, BytesIO

import pytest
from pydicom.encaps import encapsulate, generate_frames, get_frame

from gateway.ingest.byte_view import ByteView


def test_it_reads_and_seeks_as_a_file_does():
    data = bytes(range(50))
    view, file = ByteView(memoryview(data)[10:40]), BytesIO(data[10:40])
    for step in (("read", 7), ("seek", 3, SEEK_CUR), ("read", 5), ("seek", -4, SEEK_END), ("read", 99), ("seek", 2)):
        assert getattr(view, step[0])(*step[1:]) == getattr(file, step[0])(*step[1:])
        assert view.tell() == file.tell()
    assert view.read() == file.read()
    assert view.read(1) == b""
    with pytest.raises(ValueError, match="before the first byte"):
        view.seek(-1)


@pytest.mark.parametrize("table", [True, False])
def test_frames_are_told_apart_in_it(table):
    frames = [bytes([number]) * (20 + 2 * number) for number in range(5)]
    value = b"before" + encapsulate(frames, has_bot=table)
    view = memoryview(value)[6:]
    assert list(generate_frames(ByteView(view), number_of_frames=5)) == frames
    assert get_frame(ByteView(view), 3, number_of_frames=5) == frames[3]
