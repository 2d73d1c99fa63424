"""Step 6 of 7: a de-identified object becomes an answer, and the report goes with it. The same object, the same bytes.

The object alone, its report in header fields, or both as parts of one body, where the caller asks for that:

    Content-Type: image/png                         Content-Type: multipart/related; type="image/png"; boundary=...
    Deidentification-Report: policy="basic", ...
    Deidentification-Pseudonyms: patient="..."      --...  Content-Type: image/png           the object: the root part
                                                    --...  Content-Type: application/json    {"deidentification": ...}

The fields are Dictionaries of RFC 9651: a person can read them, and there are parsers. Each is bounded, for servers in
between refuse an answer whose head is too long. The JSON part holds all of it. multipart/related (RFC 2387) is how
DICOMweb answers with several parts (PS3.18 §8.7.1); its first part is the root.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import ImageTooLarge
from gateway.respond.fields import dictionary, digest

if TYPE_CHECKING:
    from gateway.deid.image import SanitizedObject

REPORT, PSEUDONYMS = "Deidentification-Report", "Deidentification-Pseudonyms"

_EXTENSIONS = {"application/dicom": "dcm", "image/jpeg": "jpg", "image/png": "png"}
_CLOCKS = ("seconds_text",)
"""Of the report: how long something took. Server-Timing says that too, and it is another time for the same object."""


@dataclass(frozen=True, slots=True)
class ObjectAnswer:
    """One answer.

    Attributes:
        pieces: The body, in its order.
        headers: Header fields.
        digest: SHA-256 of the object, hex.
    """

    pieces: tuple[bytes, ...] = field(repr=False)
    headers: dict[str, str]
    digest: str

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.pieces))


def respond_object(done: SanitizedObject, *, multipart: bool, max_bytes: int) -> ObjectAnswer:
    """Make the answer.

    Args:
        done: The de-identified object.
        multipart: The report as a part of the body, and not in header fields.
        max_bytes: Largest object that is given back.

    Raises:
        ImageTooLarge: The object is larger.
    """
    if len(done.data) > max_bytes:
        raise ImageTooLarge(f"The de-identified object has more than {max_bytes} bytes", limit=max_bytes)
    said = {name: value for name, value in done.report.as_json().items() if name not in _CLOCKS}
    sha256 = hashlib.sha256(done.data)
    headers = {"Vary": "Accept"}
    if multipart:
        pieces, content_type = _related(done, said, sha256)
        sha256_content = hashlib.sha256()
        for piece in pieces:
            sha256_content.update(piece)
        headers |= {"Content-Type": content_type, "Content-Digest": digest(sha256_content.digest())}
    else:
        pieces = (done.data,)
        headers |= _fields(done, sha256) | {REPORT: dictionary(said), "Content-Digest": digest(sha256.digest())}
        if stand_ins := dictionary(asdict(done.pseudonyms)):
            headers[PSEUDONYMS] = stand_ins
    return ObjectAnswer(pieces, headers, sha256.hexdigest())


def _fields(done: SanitizedObject, sha256: hashlib._Hash) -> dict[str, str]:
    """Of the object, wherever it stands. Its name is made here: the sender's often was the patient's."""
    media_type = str(done.media_type)
    name = f"{sha256.hexdigest()[:16]}.{_EXTENSIONS[media_type]}"
    return {"Content-Type": media_type, "Content-Disposition": f'attachment; filename="{name}"'}


def _related(done: SanitizedObject, said: dict[str, Any], sha256: hashlib._Hash) -> tuple[tuple[bytes, ...], str]:
    """The body's pieces, and its Content-Type. The boundary is made from the object's hash: it is not in the object."""
    boundary = f"cordon-{sha256.hexdigest()[:48]}"
    report = {
        "deidentification": said,
        "pseudonyms": asdict(done.pseudonyms),
        "object": {"media_type": str(done.media_type), "bytes": len(done.data), "sha256": sha256.hexdigest()},
    }
    root = _fields(done, sha256) | {"Content-Digest": digest(sha256.digest())}
    text = json.dumps(report, ensure_ascii=True, separators=(",", ":")).encode()
    pieces = (
        _part_head(boundary, root),
        done.data,
        b"\r\n" + _part_head(boundary, {"Content-Type": "application/json"}),
        text + f"\r\n--{boundary}--\r\n".encode(),
    )
    return pieces, f'multipart/related; type="{done.media_type}"; boundary={boundary}'


def _part_head(boundary: str, headers: dict[str, str]) -> bytes:
    lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("ascii")
