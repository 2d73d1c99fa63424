"""Before step 2: the one part of a multipart/form-data body (RFC 7578) that is an image, kept in memory.

The framework's form parser would spool parts to temporary files; this one feeds python-multipart's low-level parser and
keeps nothing but the bytes of the part named ``image``, and of the short texts beside it that the caller expects. A
file name is skipped unread: it often is the patient's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import HeadTooLarge, InvalidParameter, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Collection

FIELD = "image"
MAX_TEXT = 256  # bytes of a part that is a text
MAX_HEADER_BYTES = 8 * 2**10  # all headers of the part together
MAX_HEADERS = 8
MAX_BOUNDARY = 70  # RFC 2046 §5.1.1
MAX_BOUNDARIES = 8
"""Places that look like a delimiter; each makes the parser walk byte by byte. Without a bound, 32 MiB cost seconds."""


class ImagePart:
    """Takes a body chunk by chunk.

    Args:
        content_type: The request's Content-Type.
        texts: Names of the short texts that may stand beside the image, each once; a page's form has some.

    Attributes:
        texts: Name to text of those that came; what is no UTF-8 in them is replaced.

    Raises:
        MalformedBody, InvalidParameter, HeadTooLarge: From the constructor and from every method.
    """

    def __init__(self, content_type: str, texts: Collection[str] = ()) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= MAX_BOUNDARY:
            raise MalformedBody(f"multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY} characters")
        self._boundary = b"\r\n--" + boundary
        self._boundaries = 0
        self._data = bytearray()
        self._declared: str | None = None
        self._texts: dict[str, bytearray] = {}
        self._expected = frozenset(texts)
        self._into: bytearray | None = None
        self._found = False
        self._parts = 0
        self._ended = False
        self._name, self._value, self._headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self._header_bytes = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._part_data,
                "on_end": self._end,
            },
            max_header_count=MAX_HEADERS + 1,  # one above ours, so that ours decides
            max_header_size=2**31,
        )

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        self._boundaries += chunk.count(self._boundary)
        if self._boundaries > MAX_BOUNDARIES:
            raise MalformedBody("The boundary occurs too often")
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedBody("The multipart framing is broken") from None

    def finish(self) -> tuple[bytes, str | None]:
        """The part's bytes, and the media type that it declares (lower case, without parameters; None if none)."""
        if not self._ended:
            raise MalformedBody("The body ends before its closing boundary")
        if not self._found:
            raise InvalidParameter(f"The form has no part named {FIELD}", parameter=FIELD)
        return bytes(self._data), self._declared

    @property
    def texts(self) -> dict[str, str]:
        """See the class."""
        return {name: bytes(text).decode("utf-8", "replace").strip() for name, text in self._texts.items()}

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1 + len(self._expected):
            raise self._another()
        self._headers, self._header_bytes = {}, 0

    def _another(self) -> InvalidParameter:
        beside = f", and may have {', '.join(sorted(self._expected))}" if self._expected else ""
        return InvalidParameter(f"The form must have one part, named {FIELD}{beside}, and no other", parameter=FIELD)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = bytes(self._name).lower()
        if name in self._headers:
            raise MalformedBody("A header of a part occurs twice")
        self._headers[name] = bytes(self._value)
        if len(self._headers) > MAX_HEADERS:
            raise HeadTooLarge(f"A part may have {MAX_HEADERS} headers", limit=MAX_HEADERS)
        self._name.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data":
            raise MalformedBody("A part needs the header Content-Disposition: form-data")
        name = options.get(b"name", b"").decode("latin-1")
        if name == FIELD and not self._found:
            self._found, self._into = True, self._data
            # Of the headers only the media type is needed from here on; the file name goes with the rest.
            declared = self._headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            self._declared = declared.decode("latin-1") or None
        elif name in self._expected and name not in self._texts:
            self._into = self._texts[name] = bytearray()
        else:
            raise self._another()
        self._headers = {}

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._into is not None  # a part's headers come first
        self._into += memoryview(data)[start:end]
        if self._into is not self._data and len(self._into) > MAX_TEXT:
            raise MalformedBody(f"A text in the form may have {MAX_TEXT} bytes")

    def _end(self) -> None:
        self._ended = True

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HeadTooLarge(f"The headers of a part may have {MAX_HEADER_BYTES} bytes", limit=MAX_HEADER_BYTES)
