"""docs/clients.md: what it shows is run as it stands, against a gateway."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.objects import mr

if TYPE_CHECKING:
    from tests.support.site import Site

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    return found


def environment(site: Site, key: str) -> dict[str, str]:
    return os.environ | {"GATEWAY": f"http://127.0.0.1:{site.port}", "CORDON_KEY": key, "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize("block", blocks("sh"), ids=range(len(blocks("sh"))))
def test_curl(block: str, site: Site, key: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "slice.dcm").write_bytes(mr())
    done = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env=environment(site, key), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "/v1/predict" in block:
        assert json.loads(done.stdout)["prediction"]
    elif "/v1/usage" in block:
        assert "days" in done.stdout or "limits" in done.stdout
    else:
        assert done.stdout.lower().startswith("deidentification-report: ")
        assert (tmp_path / "deidentified.dcm").read_bytes()[128:132] == b"DICM"


def test_python_as_a_command(site: Site, key: str, tmp_path: Path) -> None:
    [block] = blocks("python")
    (tmp_path / "cordon_client.py").write_text(block)
    (tmp_path / "slice.dcm").write_bytes(mr())
    done = subprocess.run(
        [sys.executable, "cordon_client.py", "slice.dcm"],
        cwd=tmp_path, env=environment(site, key), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[\w ]+ [01]\.\d+ [\w-]+\n", done.stdout)


@pytest.fixture
def client_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[float]]:
    """Its module, and the pauses that it made in place of sleeping."""
    file = tmp_path / "cordon_client.py"
    file.write_text(blocks("python")[0])
    spec = importlib.util.spec_from_file_location("cordon_client", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    return module, pauses


def test_python_waits_as_it_is_told_and_keeps_its_key(client_of_the_document: tuple[Any, list[float]]) -> None:
    module, pauses = client_of_the_document
    keys: list[str] = []
    answers = iter(
        (
            httpx.Response(503, headers={"Retry-After": "3"}),
            httpx.Response(429, headers={"Retry-After": "7"}),
            httpx.Response(409, json={"type": "urn:cordon:problem:request-in-progress"}),
            httpx.ConnectError("no way"),
            httpx.Response(200, json={"prediction": "Glioma"}),
        )
    )

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    with httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer)) as client:
        assert module.predict(client, b"image", media_type="image/png") == {"prediction": "Glioma"}
    assert len(keys) == 5
    assert len(set(keys)) == 1
    assert [int(pause) for pause in pauses] == [3, 7, 1, 8]


def test_python_does_not_repeat_what_is_refused(
    client_of_the_document: tuple[Any, list[float]], site: Site, key: str
) -> None:
    module, pauses = client_of_the_document
    with site.client(key) as client, pytest.raises(httpx.HTTPStatusError, match="415"):
        module.predict(client, b"no image", media_type="application/dicom")
    assert pauses == []


def test_python_ends_in_time(client_of_the_document: tuple[Any, list[float]], site: Site, key: str) -> None:
    module, _ = client_of_the_document
    site.model.state = "down"
    began = time.monotonic()
    with site.client(key) as client, pytest.raises(httpx.HTTPStatusError, match="503"):
        module.predict(client, mr(), media_type="application/dicom", seconds=0.5)
    assert time.monotonic() - began < 10


def test_java_compiles(tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("there is no javac")
    (tmp_path / "Predict.java").write_text(blocks("java")[0])
    done = subprocess.run(
        ["javac", "-J-XX:TieredStopAtLevel=1", "-Werror", "-Xlint:all", "Predict.java"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
