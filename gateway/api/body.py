"""Before step 2: an admitted body becomes an Upload, in bounded memory and on no disk.

Size and time are bounded by ``bounds.py``, around the ``receive`` that this module reads from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from gateway.api.exchange import header
from gateway.api.multipart import ImagePart
from gateway.errors import InvalidParameter, UnsupportedMediaType
from gateway.ingest.upload import MediaType, Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope

FORM = "multipart/form-data"
ANY = "application/octet-stream"
"""RFC 2046 §4.5.1: says nothing of the content, so it counts as not declared."""
ACCEPTED = (*MediaType, ANY, FORM)


async def read_upload(scope: Scope, receive: Receive) -> Upload:
    """Read the body to its end.

    Raises:
        UnsupportedMediaType: Another Content-Type, or a Content-Encoding. Decided before a byte is read.
        MalformedBody, HeadTooLarge: The multipart framing is broken, or a part's head is too large.
        InvalidParameter: The form has not exactly one part, named ``image``; or nothing came.
        BodyTooLarge, BodyTimeout: From ``receive``.
        starlette.requests.ClientDisconnect: The caller went away.
    """
    content_type = header(scope, b"content-type") or ""
    outer = content_type.split(";")[0].strip().lower()
    if outer not in ACCEPTED:
        raise _unsupported()
    if (header(scope, b"content-encoding") or "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding is not taken: send the image as it is")

    declared: str | None
    if outer == FORM:
        part = ImagePart(content_type)
        async for chunk in _chunks(receive):
            part.feed(chunk)
        data, declared = part.finish()
    else:
        body = bytearray()
        async for chunk in _chunks(receive):
            body += chunk
        data, declared = bytes(body), outer

    if not data:
        raise InvalidParameter("The image is empty", parameter="image")
    if declared == ANY:
        declared = None
    if declared is not None and declared not in set(MediaType):
        raise _unsupported()
    return Upload(data, declared)


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(f"The media type must be one of: {', '.join(ACCEPTED)}", accepted=list(ACCEPTED))


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if chunk := message.get("body", b""):
            yield chunk
        more = message.get("more_body", False)
