"""The console's own layer around admission: what a browser is told, and whose forms are taken.

Inside of the context (which sets the headers that every answer has), outside of everything that can fail: so an error
on the way to a page is a page. Sources: OWASP ASVS 5.0 V3, W3C Fetch Metadata, CSP Level 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from gateway.api.exchange import exchange_of, header
from gateway.api.problems import problem_response
from gateway.console.pages import HOME
from gateway.errors import Forbidden

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.console.pages import Pages

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), clipboard-read=(), clipboard-write=(self), display-capture=(), "
    "fullscreen=(), geolocation=(), hid=(), microphone=(), payment=(), publickey-credentials-get=(), serial=(), usb=()",
    "Vary": "Cookie, HX-Request",
}
_WITH_PICTURES = POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""Of the one answer whose pictures are in it, for they are kept nowhere."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ConsoleMiddleware:
    """For paths of the console; the others pass through it untouched.

    Args:
        app: What is behind it.
        pages: Draws errors.
    """

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not is_console(scope["path"]):
            await self.app(scope, receive, send)
            return
        exchange_of(scope).page = self.pages.error

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["state"].get("holds_pictures"):
                    headers["Content-Security-Policy"] = _WITH_PICTURES
            await send(message)

        if scope["method"] not in _SAFE and not sent_by_us(scope):
            await problem_response(scope, FOREIGN)(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)


FOREIGN = Forbidden("This form was not sent from a page of this console")


def is_console(path: str) -> bool:
    """Whether a path is the console's."""
    return path == HOME or path.startswith(f"{HOME}/")


def sent_by_us(scope: Scope) -> bool:
    """Whether the browser says that one of our own pages sent this.

    ``Sec-Fetch-Site`` cannot be set by a page. A browser that does not send it says its ``Origin``. Without either it
    is not taken; the token in the form is checked besides.
    """
    site = header(scope, b"sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = header(scope, b"origin"), header(scope, b"host")
    return bool(origin and host) and origin in {f"http://{host}", f"https://{host}"}
