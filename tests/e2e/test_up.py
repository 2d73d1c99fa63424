"""``cordon up`` as an operator runs it: a process of its own, with real servers, and nothing left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import alive, descendants, within
from tests.support.stack import ROOT, TRITON_ENVIRONMENT, require_triton

pytestmark = [pytest.mark.stack, pytest.mark.slow]

UP = [sys.executable, "-m", "gateway.cli", "up"]


class Up:
    """One ``cordon up``, and what it printed so far."""

    def __init__(self, state: Path, *options: str) -> None:
        self.output = state.parent / f"{state.name}.out"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*UP, "--port", "0", "--state", str(state), "--triton", str(TRITON_ENVIRONMENT), *options],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "INGEST_WORKER_PROCESSES": "1"},
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> str:
        assert within(60, lambda: "/readiness" in self.said or self.process.poll() is not None), self.said
        found = re.search(r"Cordon is up: (http://127\.0\.0\.1:\d+)", self.said)
        assert found, self.said
        return found[1]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    require_triton()
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    cache = ROOT / ".cordon" / "cache"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "cache").symlink_to(cache)
    return state


@pytest.fixture
def up(state: Path) -> Iterator[Up]:
    up = Up(state)
    yield up
    up.end()


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


def get(url: str) -> tuple[int, dict]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status, json.loads(answer.read())


def test_it_starts_answers_and_stops_without_leaving_a_process(up: Up, state: Path) -> None:
    url = up.wait_ready()
    assert get(f"{url}/health")[0] == 200
    status, ready = get(f"{url}/readiness")
    assert status == 200
    assert ready["models"] == {"brain_mri_resnet50": "ok"}
    assert get(f"{url}/.well-known/smart-configuration")[1]["token_endpoint"] == f"{url}/oauth/token"
    assert (state / "secrets" / "oauth_signing_key").stat().st_mode & 0o077 == 0

    key = re.search(r"export CORDON_KEY=(cdn_\w+)", up.said)
    assert key
    assert f"Console: {url}/console " in up.said
    form = urllib.parse.urlencode({"key": key[1]}).encode()
    enter = urllib.request.Request(f"{url}/console/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    with pytest.raises(urllib.error.HTTPError, match="303") as entered:
        urllib.request.build_opener(Stay).open(enter, timeout=5)
    assert entered.value.headers["Set-Cookie"].startswith("__Host-cordon=")
    entered.value.close()
    request = urllib.request.Request(
        f"{url}/v1/predict?frames=all",
        data=(state / "samples" / "mr-multi-frame.dcm").read_bytes(),
        headers={"X-API-Key": key[1], "Content-Type": "application/dicom"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert len(json.loads(answer.read())["frames"]) == 5

    # A second one on the same state is refused, and does not disturb the first.
    refused(["--port", "0", "--state", str(state)], naming="--state")
    assert get(f"{url}/health")[0] == 200

    children = descendants(up.process.pid)
    assert len(children) >= 5  # Valkey, Triton, its stub, the gateway, its worker
    region = (state / "triton" / "region").read_text()
    assert list(Path("/dev/shm").glob(f"{region}*"))
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(40) == 0
    assert not [pid for pid in children if alive(pid)]
    assert not list(Path("/dev/shm").glob(f"{region}*"))
    with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(("127.0.0.1", int(url.rpartition(":")[2])))


def test_a_killed_parent_leaves_no_orphan_and_the_next_start_finds_its_state(up: Up, state: Path) -> None:
    up.wait_ready()
    children = descendants(up.process.pid)
    assert len(children) >= 5
    up.process.kill()
    up.process.wait()
    assert within(15, lambda: not any(alive(pid) for pid in children)), [pid for pid in children if alive(pid)]

    again = Up(state)
    try:
        again.wait_ready()
        assert "cdn_" not in again.said
        assert "keys issue" in again.said
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(40) == 0
    finally:
        again.end()


def test_a_busy_port_is_said_at_once(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(["--port", port, "--state", str(state)], naming=f"Port {port}")
    assert not (state / "cordon.db").exists()


def test_a_missing_model_server_says_what_to_run(state: Path, tmp_path: Path) -> None:
    refused(["--port", "0", "--state", str(state), "--triton", str(tmp_path / "none")], naming="make install")


def refused(options: list[str], *, naming: str) -> None:
    """It ends at once, with one clear error."""
    run = subprocess.run([*UP, *options], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1
    assert naming in run.stderr
    assert "Traceback" not in run.stderr
