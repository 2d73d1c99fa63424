"""Pictures of the console for its document: ``python -m tests.support.screenshots docs/console``.

A gateway with a model server of the tests' own, synthetic images, people who do not exist and two weeks of made-up use.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from gateway.admission.usage_tables import COUNTS, LATENCY_MS
from gateway.embedded.samples import write_samples
from gateway.settings import DeidSettings, HttpSettings
from gateway.telemetry.history import Reading
from tests.support.browser import running_browser
from tests.support.clients import new_client
from tests.support.console import TENANT, new_key
from tests.support.issuer import SigningKey
from tests.support.site import SHIPPED, Site, settings_for
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 375, "height": 760}
POLICIES = {"window": 0.6, "unauthenticated": 0.25, "scope": 0.1, "concurrency": 0.05}
"""What refuses, and its part."""
TALL = 1500
"""Pixels of a picture from its top at most."""
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
        site = _changed(Path(scratch), valkey.url)
        try:
            key, story = _life(site, Path(scratch))
            make_up_hour(site)
            _pictures(browser, site, key, story, Places(Path(scratch), folder))
        finally:
            site.stop()
            valkey.stop()


def _changed(folder: Path, redis_url: str) -> Site:
    """A gateway whose policy is another than at its first start."""
    shutil.copytree(SHIPPED.parent / "deid", folder / "deid")
    policy = folder / "deid" / "basic.yaml"
    settings = settings_for(
        folder,
        redis_url,
        deid=DeidSettings(key="d" * 32, policy=policy),
        http=HttpSettings(docs=True, max_body_bytes=32 * 2**20, max_inflight_bytes=128 * 2**20),
    )
    Site(settings).start().stop()
    policy.write_text(policy.read_text().replace("age_cap: 89", "age_cap: 85").replace("pad: 3", "pad: 4"))
    return Site(settings).start()


def make_up_hour(site: Site) -> None:
    """An hour that never was, minute by minute, with a slow spell in it."""
    chance, history = random.Random(3), site.app.state.parts.history
    now = history.read()
    answered, denied = dict.fromkeys(("2xx", "4xx", "5xx"), 0.0), dict.fromkeys(POLICIES, 0.0)
    took: list[float] = []
    made = []
    for minute in range(60):
        made.append((dict(answered), dict(denied), list(took)))
        slow = minute in {32, 33, 34}
        served = 40 + abs(minute % 40 - 20) + chance.randint(0, 14)
        refused = chance.randint(0, 4) if minute % 7 else 9
        answered = {
            "2xx": answered["2xx"] + served,
            "4xx": answered["4xx"] + refused,
            "5xx": answered["5xx"] + 3 * slow,
        }
        denied = {name: count + refused * POLICIES[name] for name, count in denied.items()}
        took += [chance.lognormvariate(-2.6 if slow else -3.1, 0.4) for _ in range(served)]
    history._ring.clear()
    for minute, (counts, refusals, so_far) in enumerate(made):
        left = {name: counts[name] - answered[name] + now.answered.get(name, 0) for name in answered}
        grown = {
            bound: count - sum(each <= bound for each in took) + sum(each <= bound for each in so_far)
            for bound, count in now.buckets.items()
        }
        before = {name: round(refusals[name] - denied[name] + now.denied.get(name, 0)) for name in denied}
        history._ring.append(Reading(now.at - 60 * (60 - minute), left, before, grown))
    site.model.computed.update({1: 412, 2: 180, 3: 96, 4: 71, 6: 22, 8: 9})


def _life(site: Site, folder: Path) -> tuple[str, str]:
    """Keys, use, requests and a switch; the key to sign in with, and a request to tell of."""
    key_id, key = new_key(site, owner="Ada Lindqvist", expires_at=datetime.now(UTC) + timedelta(days=300))
    for owner, roles, plan in PEOPLE:
        new_key(site, *roles, owner=owner, plan=plan, expires_at=datetime.now(UTC) + timedelta(days=90))
    old, _ = new_key(site, "clinician", owner="Old viewer", plan="trial")
    site.run(site.app.state.parts.keys.revoke(old))
    site.run(site.app.state.parts.switches.turn_off("key", old, reason="contract", note="moved to the PACS", by=key_id))
    for owner in ("Radiology PACS", "Teleradiology hub"):
        jwks = {"keys": [SigningKey("2026-11", "ES384").jwk]}
        site.run(site.app.state.parts.clients.register(new_client(owner=owner, jwks=jwks, created_by=key_id)))
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


@dataclass(frozen=True, slots=True)
class Places:
    """Where samples are, and where pictures go."""

    samples: Path
    pictures: Path


def _pictures(browser: Browser, site: Site, key: str, story: str, places: Places) -> None:
    folder = places.pictures
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
        page.goto("/console/try")
        page.get_by_label("Drop a DICOM").set_input_files(places.samples / "mr-single-frame.dcm")
        page.get_by_role("button", name="De-identify and classify").click()
        page.wait_for_selector(".result")
        _shot(page, folder / f"try-{name}.png")
        if name == "light":
            page.goto("/console/policies/deid-basic")
            _shot(page, folder / "policy.png")
            page.goto("/console/policies")
            _shot(page, folder / "policies.png")
            page.goto("/console/keys")
            _shot(page, folder / "keys.png")
            page.goto("/console/audit")
            _shot(page, folder / "audit.png")
            page.goto("/console/clients")
            _shot(page, folder / "clients.png")
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
    full = page.viewport_size == WIDE and path.name.startswith(("story", "overview-light", "policy."))
    page.evaluate("scrollTo(0, 0)")
    whole = page.screenshot(full_page=full)
    picture = Image.open(io.BytesIO(whole)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, TALL)))
    # Of a page with an image on it, few pixels have the colours that count.
    by = Image.Quantize.MAXCOVERAGE if path.name.startswith("try") else Image.Quantize.MEDIANCUT
    picture.quantize(128, by, dither=Image.Dither.NONE).save(path, optimize=True)
    path.chmod(0o644)  # the gateway in this process lets nobody else read what is written


if __name__ == "__main__":
    main(Path(sys.argv[1]))
