"""Try it: one image through the very pipeline of ``/v1/predict``, and what came of it as a page.

What is shown is made of sanitized pixels (``respond/preview.py``) and is in the answer itself: it is kept nowhere, and
the original is not shown. The form's file goes where every upload goes, into bounded memory.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.connected import while_connected
from gateway.api.exchange import header
from gateway.api.multipart import ImagePart
from gateway.api.parts import Admitted, CurrentExchange, Joined, Parts
from gateway.console.forms import TOKEN, check_token
from gateway.console.pages import HOME, page, session_of
from gateway.console.words import GROUPS, number
from gateway.errors import GatewayError, InvalidParameter, UnsupportedMediaType
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import Upload
from gateway.respond.detection import DetectionAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.admission.principal import Admission
    from gateway.api.exchange import Exchange
    from gateway.pipeline import Answered
    from gateway.respond.preview import Seen

PATH = f"{HOME}/try"
FORM = "multipart/form-data"
FRAMES = {"all": "All frames", "middle": "The middle one"}
_TEXTS = (TOKEN, "model", "frames")

router = APIRouter(include_in_schema=False, prefix=PATH)


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's finding, as it is drawn: left, top, width and height in the picture's pixels."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture.

    Attributes:
        seen: The sanitized frame.
        source: It, as a ``data:`` URL.
        findings: What a detector found in it.
    """

    seen: Seen
    source: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was filled in."""

    upload: Upload
    model: str
    frames: str


@router.get("")
async def form(request: Request, joined: Joined) -> Response:
    """The form."""
    return page(request, "try.html", **_choices(joined), tried=None, error=None)


@router.post("")
async def tried(request: Request, joined: Joined, admission: Admitted, exchange: CurrentExchange) -> Response:
    """One image's answer, or why there is none; both lead to the request's story."""
    wanted = await _read(request)
    try:
        answered = await _ask(wanted, request, joined, admission, exchange)
    except GatewayError as error:
        exchange.problem = error.slug
        response = page(request, "try.html", error.status, **_choices(joined, wanted), tried=None, error=error)
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(round(error.retry_after) or 1)
        return response
    request.scope["state"]["holds_pictures"] = True
    answer = answered.answer
    return page(
        request,
        "try.html",
        **_choices(joined, wanted),
        tried=answer,
        pictures=_pictures(answered),
        removed=_removed(answer.deidentification["groups"]),
        total=number(len(answer.frames)),
        seconds=answered.seconds,
        error=None,
    )


async def _ask(wanted: Wanted, request: Request, joined: Parts, admission: Admission, exchange: Exchange) -> Answered:
    """As ``POST /v1/predict`` does, in the same order.

    Raises:
        GatewayError: As there.
    """
    frames = FrameSelection.parse(wanted.frames or None)
    model = await joined.models.serving.expected(wanted.model or None)
    await joined.switches.check_model(model.name)
    await joined.pipeline.expect(admission, model)
    if not wanted.upload.data:
        raise InvalidParameter("No file was chosen, or it is empty", parameter="image")
    exchange.recorded = True  # from here on the pipeline records however it ends, or raises that it cannot
    asked = joined.pipeline.predict(admission, wanted.upload, frames, wanted.model or None, look=True)
    answered = await while_connected(asked, request.receive)
    exchange.steps |= answered.seconds
    exchange.frames = len(answered.answer.frames) or 1
    return answered


async def _read(request: Request) -> Wanted:
    """The form, into memory; admission has bounded it. What the browser guesses from a file's name is not believed.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidParameter: It is no such form.
        Forbidden: It is not of this session.
    """
    content_type = header(request.scope, b"content-type") or ""
    if content_type.split(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType("A form is expected")
    part = ImagePart(content_type, _TEXTS)
    async for chunk in request.stream():
        part.feed(chunk)
    data, _ = part.finish()
    texts = part.texts
    check_token(request, session_of(request), texts.get(TOKEN, ""))
    return Wanted(Upload(data, None), texts.get("model", ""), texts.get("frames", ""))


def _choices(joined: Parts, was: Wanted | None = None) -> dict[str, object]:
    return {
        "models": [model.name for model in joined.catalog],
        "frames": FRAMES,
        "was": {"model": was.model, "frames": was.frames} if was else {"model": "", "frames": ""},
        "largest": joined.gate.body_limits["POST /console/try"],
    }


def _pictures(answered: Answered) -> list[Shown]:
    answer = answered.answer
    found = {one.frame: one.detections for one in answer.frames} if isinstance(answer, DetectionAnswer) else {}
    shown = []
    for seen in answered.seen:
        findings = tuple(
            Finding(each.label, each.score, seen.from_stored((box.x_min, box.y_min, box.x_max, box.y_max)))
            for each in found.get(seen.number, ())
            for box in (each.box,)
        )
        shown.append(Shown(seen, f"data:image/png;base64,{base64.b64encode(seen.png).decode()}", findings))
    return shown


def _removed(groups: dict[str, int]) -> list[tuple[str, str, int]]:
    """Group, what it holds, and how many elements of it were removed or changed; the most first."""
    rows: Iterable[tuple[str, int]] = sorted(groups.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(group, GROUPS.get(group, ""), count) for group, count in rows]
