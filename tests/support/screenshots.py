"""Pictures of the console for its document: ``python -m tests.support.screenshots docs/console``.

A gateway with a model server of the tests' own, synthetic images, people who do not exist and two weeks of made-up use.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from gateway.admission.usage_tables import COUNTS, LATENCY_MS
from gateway.embedded.samples import write_samples
from tests.support.browser import running_browser
from tests.support.console import TENANT, new_key
from tests.support.site import Site, settings_for
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 760}
PEOPLE = (
    ("Radiology PACS", ("clinician",), "partner"),
    ("Research export", ("researcher",), "standard"),
    ("Night audit, R. Ito", ("auditor",), "admin"),
    ("Key desk, M. Okafor", ("issuer",), "admin"),
)


def main(folder: Path) -> None:
    """Write them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as scratch, running_browser() as browser:
        valkey = ValkeyServer(Path(scratch)).start()
        site = Site(settings_for(Path(scratch), valkey.url)).start()
        try:
            key, story = _life(site, Path(scratch))
            _pictures(browser, site, key, story, folder)
        finally:
            site.stop()
            valkey.stop()


def _life(site: Site, folder: Path) -> tuple[str, str]:
    """Keys, use, requests and a switch; the key to sign in with, and a request to tell of."""
    key_id, key = new_key(site, owner="Ada Lindqvist", expires_at=datetime.now(UTC) + timedelta(days=300))
    for owner, roles, plan in PEOPLE:
        new_key(site, *roles, owner=owner, plan=plan, expires_at=datetime.now(UTC) + timedelta(days=90))
    old, _ = new_key(site, "clinician", owner="Old viewer", plan="trial")
    site.run(site.app.state.parts.keys.revoke(old))
    site.run(site.app.state.parts.switches.turn_off("key", old, reason="contract", note="moved to the PACS", by=key_id))
    _use(site, key_id)
    write_samples(folder)
    with site.client(key) as client:
        answer = client.post(
            "/v1/predict",
            content=(folder / "mr-single-frame.dcm").read_bytes(),
            headers={"Content-Type": "application/dicom"},
        )
        client.post("/v1/predict", content=b"no image", headers={"Content-Type": "image/png"})
    return key, answer.headers["x-request-id"]


def _use(site: Site, key_id: str) -> None:
    """Two weeks of it."""
    chance = random.Random(7)
    today = datetime.now(UTC).date()
    rows = []
    for back in range(14):
        day = today - timedelta(days=back)
        served = int((900 if day.weekday() < 5 else 260) * chance.uniform(0.8, 1.2))
        denied = int(served * chance.uniform(0.0, 0.09))
        counts = dict.fromkeys(COUNTS, 0) | {
            "requests": served + denied, "denied_limit": denied, "succeeded": served, "frames": served,
            "latency_us": served * 41_000, "bytes_in": served * 600_000,
        }  # fmt: skip
        buckets = [0] * (len(LATENCY_MS) + 1)
        for _ in range(served):
            milliseconds = chance.lognormvariate(3.6, 0.5)
            buckets[next((at for at, most in enumerate(LATENCY_MS) if milliseconds <= most), len(LATENCY_MS))] += 1
        rows.append((day, TENANT, key_id, *counts.values(), *buckets))
    site.run(site.app.state.parts.usage.add("screenshots", 1, rows))


def _pictures(browser: Browser, site: Site, key: str, story: str, folder: Path) -> None:
    for name, size, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", NARROW, "light")):
        context = browser.new_context(
            base_url=f"http://127.0.0.1:{site.port}",
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.goto("/console")
        if name == "light":
            _shot(page, folder / "sign-in.png")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Verify now").click()
        page.wait_for_selector(".verdicts")
        _shot(page, folder / f"overview-{name}.png")
        if name == "light":
            page.goto("/console/keys")
            _shot(page, folder / "keys.png")
            page.goto("/console/audit")
            _shot(page, folder / "audit.png")
            page.goto("/console/switches")
            _shot(page, folder / "switches.png")
            page.goto("/console/keys/new")
            page.get_by_label("Owner").fill("Ward 4 viewer")
            page.get_by_role("checkbox", name="clinician").check()
            page.get_by_role("button", name="Issue the key").click()
            page.eval_on_selector(
                "#secret", "each => { each.textContent = 'cdn_7Hq2mXc9RtLa_shown-once-and-never-again' }"
            )
            _shot(page, folder / "key-secret.png")
        page.goto(f"/console/audit/request/{story}")
        if name != "dark":
            _shot(page, folder / f"story-{name}.png")
        context.close()


def _shot(page: Page, path: Path) -> None:
    """Few colours do: a third of the bytes."""
    whole = page.screenshot(full_page="story" in path.name and page.viewport_size == WIDE)
    Image.open(io.BytesIO(whole)).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
