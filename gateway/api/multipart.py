"""Before step 2: the one part of a multipart/form-data body (RFC 7578) that is an image, kept in memory.

The framework's form parser would spool parts to temporary files; this one feeds python-multipart's low-level parser and
keeps nothing but the bytes of the part named ``image``. A file name is skipped unread: it often is the patient's name.
"""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import HeadTooLarge, InvalidParameter, MalformedBody

FIELD = "image"
MAX_HEADER_BYTES = 8 * 2**10  # all headers of the part together
MAX_HEADERS = 8
MAX_BOUNDARY = 70  # RFC 2046 §5.1.1
MAX_BOUNDARIES = 8
"""Places that look like a delimiter; each makes the parser walk byte by byte. Without a bound, 32 MiB cost seconds."""


class ImagePart:
    """Takes a body chunk by chunk.

    Args:
        content_type: The request's Content-Type.

    Raises:
        MalformedBody, InvalidParameter, HeadTooLarge: From the constructor and from every method.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= MAX_BOUNDARY:
            raise MalformedBody(f"multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY} characters")
        self._boundary = b"\r\n--" + boundary
        self._boundaries = 0
        self._data = bytearray()
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
        if not self._parts:
            raise InvalidParameter(f"The form has no part named {FIELD}", parameter=FIELD)
        declared = self._headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        return bytes(self._data), declared.decode("latin-1") or None

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise InvalidParameter(f"The form must have one part, named {FIELD}, and no other", parameter=FIELD)

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
        if options.get(b"name") != FIELD.encode():
            raise InvalidParameter(f"The form must have one part, named {FIELD}, and no other", parameter=FIELD)
        # Of the headers only the media type is needed from here on; the file name goes with the rest.
        self._headers = {name: value for name, value in self._headers.items() if name == b"content-type"}

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def _end(self) -> None:
        self._ended = True

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HeadTooLarge(f"The headers of a part may have {MAX_HEADER_BYTES} bytes", limit=MAX_HEADER_BYTES)
