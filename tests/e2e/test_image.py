"""The image's own start command, in what the Dockerfile builds: another user, a read-only root, no capabilities."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.canaries import jpeg
from tests.support.processes import descendants
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "try-image"
pytestmark = pytest.mark.stack


def run(image: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], env=environment | {"IMAGE_ROOT": str(image)}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if subprocess.run(["bwrap", "--ro-bind", "/", "/", "--unshare-user", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make namespaces")
    folder = tmp_path_factory.mktemp("image")
    built = run(folder, dict(os.environ), "version")
    if "resolve requirements" in built.stderr:
        pytest.skip("the build's own packages cannot be had: no package index is reached from here")
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture
def environment(stack: Stack) -> Iterator[dict[str, str]]:
    state = Path(tempfile.mkdtemp(prefix="cordon-", dir="/tmp"))  # short: a socket's path must be
    valkey = ValkeyServer(state).start()
    secrets = {"ADMISSION_KEY_PEPPER": "p", "DEID_KEY": "d", "AUDIT_CHAIN_KEY": "c"}
    for name, letter in secrets.items():
        (state / name).write_text(letter * 32)
    yield {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "STATE": str(state),
        "REDIS_URL": "unix:///state/valkey.sock",
        "DATABASE_URL": "sqlite+aiosqlite:////state/cordon.db",
        "TRITON_URL": stack.triton.url,
        "HTTP_PORT": "0",
        "METRICS_PORT": "0",
        **{f"{name}_FILE": f"/state/{name}" for name in secrets},
    }
    valkey.stop()
    shutil.rmtree(state)


def test_it_serves_as_nobody_of_this_machine_and_can_write_nowhere(image: Path, environment: dict[str, str]) -> None:
    issued = run(image, environment, "keys", "issue", "--owner", "x", "--tenant", "t", "--role", "clinician")
    assert issued.returncode == 0, issued.stderr
    key = issued.stdout.strip()
    with started(image, environment) as running:
        assert running.stderr is not None
        url = re.search(r"http://\S+", running.stderr.readline())
        assert url is not None
        with httpx.Client(base_url=url[0], timeout=10) as client:
            answer = until_ready(client, running)
            assert answer.status_code == 200, answer.text
            files = {"image": ("x.jpg", jpeg().body, "image/jpeg")}
            answer = client.post("/v1/predict", files=files, headers={"X-API-Key": key})
            assert answer.status_code == 200, answer.text

        gateway = next(pid for pid in descendants(running.pid) if cordon(pid))
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{gateway}/status").read_text().splitlines())
        assert status["CapEff"] == status["CapBnd"] == status["CapPrm"] == "0" * 16
        assert status["NoNewPrivs"] == "1"
        assert Path(f"/proc/{gateway}/uid_map").read_text().split()[0] == "10001"
        mounts = [line.split()[4:6] for line in Path(f"/proc/{gateway}/mountinfo").read_text().splitlines()]
        writable = {point for point, options in mounts if "rw" in options.split(",")}
        assert {point for point in writable if not point.startswith(("/dev", "/proc"))} == {"/tmp", "/state"}

        os.kill(gateway, signal.SIGTERM)
        assert running.wait(20) == 0


@contextmanager
def started(image: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [SCRIPT],
        env=environment | {"IMAGE_ROOT": str(image)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def cordon(pid: int) -> bool:
    """Whether it is the command itself; bubblewrap's own line ends alike."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[-2] == "serve" and words[0].endswith("python")


def until_ready(client: httpx.Client, running: subprocess.Popen[str]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = client.get("/readiness")
        except httpx.TransportError:
            assert running.poll() is None
        else:
            if answer.status_code == 200 or time.monotonic() > deadline:
                return answer
        time.sleep(0.1)
