"""schemathesis reads the API's description and tries it on a real gateway: what it is told is true, and nothing breaks.

No answer is a 5xx; every 4xx is a problem document; statuses, media types, headers and bodies are those described; what
does not fit the description is refused. ``make fuzz`` goes on for minutes, each time with other requests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.admission.administrator import Administrator
from gateway.models.administration import Why
from tests.support.site import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "support" / "schemathesis.toml"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "0"))
SPARE_KEYS = 400 if SECONDS else 60

QUICK = ("--phases", "examples,coverage", "--generation-deterministic")
LONG = ("--phases", "examples,coverage,fuzzing,stateful", "--max-time", str(SECONDS))


@pytest.fixture
def callers(site: Site, tmp_path: Path) -> Iterator[Path]:
    """Keys of one tenant that may do everything, and an operator of another one."""
    scopes = site.app.state.parts.access.scopes
    file = tmp_path / "callers.json"
    keys = [site.key(*scopes, tenant="described") for _ in range(SPARE_KEYS)]
    file.write_text(json.dumps({"keys": keys, "operator": site.key("switches:write", "switches:all", tenant="others")}))
    yield file
    file_says = Administrator.operator(), MODEL, Why("test"), "1"
    site.run(site.app.state.services.models.administration.rollback(*file_says))  # whatever was set for the model


@pytest.mark.timeout(SECONDS + 300)
def test_the_description_is_true_and_nothing_breaks(site: Site, stranger, callers: Path, tmp_path: Path) -> None:
    description = tmp_path / "openapi.json"
    description.write_text(stranger.get("/openapi.json").text)
    tool = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", str(description)]
    command = [*tool, "--url", f"http://127.0.0.1:{site.port}", "--no-color", *(LONG if SECONDS else QUICK)]
    environment = os.environ | {"CORDON_CALLERS": str(callers), "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if SECONDS:
        sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    [operations] = re.findall(r"Tested: (\d+)", done.stdout)
    described = json.loads(description.read_text())["paths"]
    assert int(operations) == sum(map(len, described.values()))
    [cases] = re.findall(r"(\d+) generated", done.stdout)
    assert int(cases) > 500
    busy = callers.with_suffix(".503")
    unanswered = busy.read_text().splitlines() if busy.exists() else []
    assert len(unanswered) <= int(cases) // 100, unanswered
