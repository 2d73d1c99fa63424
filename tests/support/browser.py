"""A real Chromium without a window, driven by Playwright. It is the system's own: nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that can come out otherwise in the dark."""


def chromium() -> str:
    """Where it is. Skips where there is none; in CI its absence is a failure."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    reason = "there is no Chromium: apt install chromium, or name one with CHROMIUM=/path"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser. Playwright's loop holds the thread until it is closed: so one a module, and no longer."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """What a page did that a page of ours must not do.

    Attributes:
        origin: Where all of its requests must go.
        faults: What it did.
    """

    def __init__(self, page: Page, origin: str) -> None:
        self.origin = origin
        self.faults: list[str] = []
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._asked)

    def _said(self, kind: str, text: str) -> None:
        # Chromium writes a line for each answer of 4xx; what it writes of the policy, or of a script, is a fault.
        if kind in ("error", "warning") and "the server responded with a status of 4" not in text:
            self.faults.append(f"{kind}: {text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.origin + "/"):
            self.faults.append(f"asked {request.url}")


def violations(page: Page, *, colours: bool = False) -> list[str]:
    """What axe-core finds that is serious or critical: rule and place; by the rules of ``colours`` alone, or by all."""
    rules = {"type": "rule", "values": COLOURS} if colours else {"type": "tag", "values": TAGS}
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], "runOnly": rules})[
        "violations"
    ]
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
