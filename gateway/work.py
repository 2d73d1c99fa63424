"""Steps 2, 3 and 4 or 6 as worker processes run them: identifying bytes in, what identifies nobody out.

What is given to a worker and what comes back are the classes of this module; both travel between processes. What comes
back is made from a ``SanitizedImage`` or a ``SanitizedObject``, and from nothing else.
"""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from functools import cached_property, lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.deadline import NEVER, Deadline
from gateway.deid.engine import DeidEngine
from gateway.ingest.decode import decode, decode_object
from gateway.preprocess.fitness import check_fitness
from gateway.preprocess.tensor import Tensor, to_tensor
from gateway.respond.deidentified import ObjectAnswer, respond_object
from gateway.respond.preview import Seen, look_at

if TYPE_CHECKING:
    from gateway.deid.image import Pseudonyms
    from gateway.deid.report import DeidReport
    from gateway.ingest.frames import FrameSelection
    from gateway.ingest.upload import MediaType, Upload
    from gateway.models.spec import ModelSpec
    from gateway.settings import DeidSettings, IngestSettings


# What travels has no slots: Python pickles a frozen class with slots field by field, at several times the cost.
@dataclass(frozen=True, eq=False)
class Terms:
    """What many calls have in common. It goes to a worker as bytes that were pickled once, and is read there once.

    Attributes:
        model: What the tensor is made for.
        limits: Bounds on one file.
        deid: Policy and key.
    """

    model: ModelSpec
    limits: IngestSettings
    deid: DeidSettings

    @cached_property
    def packed(self) -> bytes:
        """All three."""
        return pickle.dumps((self.model, self.limits, self.deid), 5)

    @cached_property
    def engine(self) -> DeidEngine:
        """That of the policy."""
        return _engine(self.deid)


_TERMS: dict[int, Terms] = {}
_MOST_TERMS = 64


def _terms_of(model: ModelSpec, limits: IngestSettings, deid: DeidSettings) -> Terms:
    """The terms of these very objects: told apart by what they are, for to compare them would cost more than a call."""
    known = _TERMS.get(id(model))
    if known is None or known.model is not model or known.limits is not limits or known.deid is not deid:
        if len(_TERMS) >= _MOST_TERMS:
            _TERMS.clear()
        known = _TERMS[id(model)] = Terms(model, limits, deid)
    return known


@dataclass(frozen=True)
class Work:
    """One image's way through steps 2 to 4, as it is handed to a worker process.

    Attributes:
        look: Whether pictures of what is left are wanted, too.
    """

    upload: Upload
    frames: FrameSelection
    model: ModelSpec
    tenant: str
    limits: IngestSettings
    deid: DeidSettings
    deadline: Deadline = NEVER
    look: bool = False

    @property
    def terms(self) -> Terms:
        """What it has in common with others."""
        return _terms_of(self.model, self.limits, self.deid)

    def __reduce__(self) -> tuple[Any, ...]:
        return _work, (self.terms.packed, self.upload, self.frames, self.tenant, self.deadline, self.look)


def _work(  # noqa: PLR0917 - as pickle calls it
    packed: bytes,
    upload: Upload,
    frames: FrameSelection,
    tenant: str,
    deadline: Deadline,
    look: bool,
) -> Work:
    model, limits, deid = _unpacked(packed)
    return Work(upload, frames, model, tenant, limits, deid, deadline, look)


@lru_cache(maxsize=_MOST_TERMS)
def _unpacked(packed: bytes) -> tuple[ModelSpec, IngestSettings, DeidSettings]:
    terms: tuple[ModelSpec, IngestSettings, DeidSettings] = pickle.loads(packed)  # noqa: S301 - of ``Terms.packed``
    return terms


@dataclass(frozen=True, slots=True)
class ObjectWork:
    """One whole object's way through steps 2, 3 and 6.

    Attributes:
        upload: The object.
        tenant: Whose it is.
        limits: Bounds on one file.
        deid: Policy and key.
        multipart: Whether the report is wanted as a part of the body.
        max_bytes: Largest object that is given back.
        deadline: Looked at between steps: what cannot be of use any more is not begun.
    """

    upload: Upload
    tenant: str
    limits: IngestSettings
    deid: DeidSettings
    multipart: bool
    max_bytes: int
    deadline: Deadline = NEVER


@dataclass(frozen=True, kw_only=True)
class Sanitized:
    """What a worker hands back, whatever it was asked for. Identifies nobody.

    Attributes:
        media_type: What the upload is, by its own bytes.
        input_digest: SHA-256 of the upload, hex.
        pseudonyms: Stand-ins of the identifiers that link objects.
        report: What de-identification did.
        seconds: What each step took.
    """

    media_type: MediaType
    input_digest: str
    pseudonyms: Pseudonyms
    report: DeidReport
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Prepared(Sanitized):
    """For a model.

    Attributes:
        tensor: What the model takes.
        frame_numbers: The frames in it, 1-based as in DICOM.
        total_frames: Frames in the object.
        warnings: Sentences for the caller.
        seen: Pictures of sanitized frames, if they were asked for.
    """

    tensor: Tensor
    frame_numbers: tuple[int, ...]
    total_frames: int
    warnings: tuple[str, ...]
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Deidentified(Sanitized):
    """For the caller.

    Attributes:
        answer: The object, and what was done to it.
    """

    answer: ObjectAnswer


@lru_cache(maxsize=8)
def _engine(settings: DeidSettings) -> DeidEngine:
    return DeidEngine.load(settings.policy, settings.key.get_secret_value().encode())


def prepare(work: Work) -> Prepared:
    """Steps 2 to 4, in a worker process: identifying bytes in, a sanitized tensor out."""
    work.deadline.check()
    model, engine = work.model, work.terms.engine
    clock = [perf_counter()]
    # What nobody looks at for text need not be larger than the model's input: a JPEG is then decoded small.
    least = None if engine.policy.pixels.look else model.input.longer_side
    image = decode(work.upload, work.frames, work.limits, least)
    warnings = check_fitness(image.modality, image.body_part, model)
    clock.append(perf_counter())
    work.deadline.check()
    sanitized = engine.deidentify(image, tenant=work.tenant, leaves=model.input.longer_side)
    clock.append(perf_counter())
    work.deadline.check()
    tensor = to_tensor(sanitized, model.input)
    clock.append(perf_counter())
    return Prepared(
        tensor=tensor,
        media_type=image.media_type,
        frame_numbers=sanitized.frame_numbers,
        total_frames=sanitized.total_frames,
        pseudonyms=sanitized.pseudonyms,
        report=sanitized.report,
        input_digest=hashlib.sha256(work.upload.data).hexdigest(),
        warnings=warnings,
        seen=look_at(sanitized) if work.look else (),
        seconds={"ingest": clock[1] - clock[0], "deid": clock[2] - clock[1], "preprocess": clock[3] - clock[2]},
    )


def deidentify(work: ObjectWork) -> Deidentified:
    """Steps 2, 3 and 6, in a worker process: an identifying object in, the answer with the sanitized one out."""
    work.deadline.check()
    clock = [perf_counter()]
    found = decode_object(work.upload, work.limits)
    clock.append(perf_counter())
    work.deadline.check()
    done = _engine(work.deid).deidentify_object(found, tenant=work.tenant)
    clock.append(perf_counter())
    work.deadline.check()
    answer = respond_object(done, multipart=work.multipart, max_bytes=work.max_bytes)
    clock.append(perf_counter())
    return Deidentified(
        answer=answer,
        media_type=found.media_type,
        pseudonyms=done.pseudonyms,
        report=done.report,
        input_digest=hashlib.sha256(work.upload.data).hexdigest(),
        seconds={"ingest": clock[1] - clock[0], "deid": clock[2] - clock[1], "respond": clock[3] - clock[2]},
    )
