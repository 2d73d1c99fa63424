"""The one part of a form, however the body is cut into chunks."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.multipart import ImagePart
from gateway.errors import GatewayError, MalformedBody

TYPE = "multipart/form-data; boundary=abcdef"
HEAD = b'--abcdef\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
END = b"\r\n--abcdef--\r\n"


def read(body: bytes, size: int) -> tuple[bytes, str | None]:
    part = ImagePart(TYPE)
    for start in range(0, len(body), size):
        part.feed(body[start : start + size])
    return part.finish()


@given(st.binary(max_size=300), st.integers(1, 400))
def test_what_goes_in_comes_out(data, size):
    if b"\r\n--abcdef" in data:
        return
    assert read(HEAD + data + END, size) == (data, "image/png")


@given(
    st.lists(st.sampled_from([b"\r\n", b"--abcdef", b"--", b"\r", b"\n", b"a", HEAD, END]), max_size=30),
    st.integers(1, 50),
)
def test_pieces_of_framing_in_any_order_are_read_or_named(pieces, size):
    try:
        data, _ = read(b"".join(pieces), size)
    except GatewayError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - either outcome is right
    else:
        assert data in b"".join(pieces)


@given(st.binary(max_size=500), st.integers(1, 50))
def test_anything_is_read_or_named(body, size):
    with pytest.raises(GatewayError):
        read(body, size)


TEXT = b'--abcdef\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_texts_that_are_expected_stand_beside_the_image(size):
    part = ImagePart(TYPE, ("model", "frames"))
    body = TEXT % "é one".encode() + HEAD + b"x" + END
    for start in range(0, len(body), size):
        part.feed(body[start : start + size])
    assert part.finish() == (b"x", "image/png")
    assert part.texts == {"model": "é one"}


@pytest.mark.parametrize(
    ("texts", "body"),
    [
        ((), TEXT % b"a" + HEAD + b"x" + END),
        (("frames",), TEXT % b"a" + HEAD + b"x" + END),
        (("model", "frames"), TEXT % b"a" + TEXT % b"b" + HEAD + b"x" + END),
        (("model", "frames"), HEAD + b"x\r\n" + HEAD + b"y" + END),
        (("model",), (TEXT % b"a")[:-2] + END),
        (("model",), TEXT % (b"a" * 257) + HEAD + b"x" + END),
    ],
    ids=["not expected", "another", "twice", "two images", "no image", "too long"],
)
def test_nothing_else_does(texts, body):
    part = ImagePart(TYPE, texts)
    with pytest.raises(GatewayError):  # noqa: PT012 - either finds it
        part.feed(body)
        part.finish()


@pytest.mark.parametrize("declared", ["image/png", "IMAGE/PNG", "image/png; x=y", " image/png "])
def test_the_parts_type_is_plain(declared):
    part = ImagePart(TYPE)
    part.feed(HEAD.replace(b"image/png", declared.encode()) + b"x" + END)
    assert part.finish() == (b"x", "image/png")


def test_a_quoted_boundary():
    part = ImagePart('multipart/form-data; boundary="abcdef"')
    part.feed(HEAD + b"x" + END)
    assert part.finish()[0] == b"x"


def test_delimiters_that_are_none_cost_no_time():
    # Each would make the parser walk byte by byte: 4 MiB of them take most of a second.
    body = HEAD + b"\r\n--abcdefX" * 400_000
    began = time.process_time()
    with pytest.raises(MalformedBody):
        read(body, 65536)
    assert time.process_time() - began < 0.1


def test_nothing_of_the_form_is_in_a_repr():
    part = ImagePart(TYPE)
    part.feed(HEAD.replace(b"x.png", b"ZqxjKw.png") + b"ZqxjKw")
    assert "ZqxjKw" not in repr(part)
