"""The console's own files: one script of others (htmx), one of ours, one style sheet, one drawing. Open to anyone."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gateway.console.pages import HOME, STATIC
from gateway.errors import NotFound

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
KEPT = "public, max-age=31536000, immutable"
"""For good: the pages name them by the digest of all of them."""

FILES = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in STATIC.iterdir() if path.suffix in TYPES}
"""A closed list, read at the start: what a request names is looked up here and never on a disk."""

router = APIRouter(include_in_schema=False, prefix=HOME)


@router.get("/static/{file}")
async def asset(file: str) -> Response:
    """One of them."""
    if file not in FILES:
        raise NotFound("There is no such file")
    body, media_type = FILES[file]
    return Response(body, media_type=media_type, headers={"Cache-Control": KEPT})
