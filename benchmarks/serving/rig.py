"""The parties, each as processes of their own on the same servers: the gateway, the stack without promises, the floor.

Triton is a real one with the null model; Valkey and the audit store (SQLite) are real ones too.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.deid_corpus.peers_environment import interpreter
from benchmarks.serving.load import Target
from gateway.cli.serve import listen
from gateway.embedded.child import Child
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.serving.pictures import Picture

HERE = Path(__file__).resolve().parent
PEER_ENVIRONMENT = ROOT / ".peers-serving"
LIMITS = ("burst=1000000", "minute=60000000", "day=1000000000")
"""A plan as partners have it, three windows and a concurrency, with room for a benchmark."""


@dataclass(frozen=True, slots=True)
class Party:
    """One way to have a picture classified.

    Attributes:
        name: As tables name it.
        pid: The first of its processes.
        port: Where it listens; 0 for the floor.
        path: Its route.
        headers: What a caller sends besides.
    """

    name: str
    pid: int
    port: int = 0
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def target(self, picture: Picture) -> Target:
        """A request for the generator."""
        body, content_type = picture.form
        lines = {"Host": "gateway", "Content-Type": content_type, "Content-Length": str(len(body)), **self.headers}
        head = f"POST {self.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return Target(self.name, self.port, f"{head}\r\n".encode() + body)

    def ask(self, picture: Picture) -> tuple[dict[str, Any], str]:
        """One request: the answer, and its Server-Timing.

        Raises:
            RuntimeError: Another status than 200.
        """
        body, content_type = picture.form
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", self.path, body, {"Content-Type": content_type, **self.headers})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered {answer.status}: {content[:300]!r}")
        return json.loads(content), answer.headers.get("Server-Timing", "")


@contextlib.contextmanager
def stack(
    folder: Path,
    *,
    repository: Path = HERE / "null_model",
    models_policy: Path = HERE / "null-models.yaml",
) -> Iterator[Stack]:
    """Triton with the null model, and Valkey."""
    with (
        StateFolder(folder, cache=ROOT / ".cordon" / "cache") as state,
        Stack(
            state, triton_environment=ROOT / ".triton", repository=repository, models_policy=models_policy
        ) as servers,
    ):
        servers.start()
        servers.wait_ready()
        yield servers


@contextlib.contextmanager
def gateway(
    servers: Stack, folder: Path, name: str = "gateway", *, look: bool = True, **settings: str
) -> Iterator[Party]:
    """``cordon serve`` with a database of its own, and a caller with an API key.

    Args:
        servers: Triton and Valkey.
        folder: For its database, logs and policies; made here.
        name: What tables call it.
        look: Whether its policy is ``basic`` as it is shipped, or ``basic`` without the look for burned-in text.
        settings: More of its settings, by their names in the environment.
    """
    folder.mkdir(parents=True)
    variables = servers.variables() | {
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'cordon.db'}",
        "METRICS_PORT": "0",  # several gateways are up at once
        "AUDIT_CHECKPOINT_FILE": str(folder / "checkpoints.log"),
        "DEID_POLICY": str(ROOT / "policies" / "deid" / "basic.yaml" if look else without_look(folder / "deid")),
        **settings,
    }
    environment = dict(os.environ) | variables
    listener = listen("127.0.0.1", 0)
    try:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--fd", str(listener.fileno())]
        child = Child(name, command, log=folder / "gateway.log", environment=environment, pass_fds=(listener.fileno(),))
        port = listener.getsockname()[1]
    finally:
        listener.close()
    try:
        child.wait_ready(lambda: _status(port, "/readiness") == 200, 60)
        headers = {"Authorization": f"Bearer {_issued(environment)}"}
        yield Party(name, child.pid, port, "/v1/predict", headers)
    finally:
        child.stop(15)


def without_look(folder: Path) -> Path:
    """The policy ``basic``, word for word but for the look at the pixels: for what everything else costs."""
    shutil.copytree(ROOT / "policies" / "deid", folder)
    policy = folder / "basic.yaml"
    text = policy.read_text("utf-8")
    changed = text.replace("look: true", "look: false").replace('options: ["113101"]', "options: []")
    if changed.count("look: false") != 1 or "options: []" not in changed:
        raise RuntimeError("the policy is not written as this benchmark expects it")
    policy.write_text(changed, "utf-8")
    return policy


def _issued(environment: Mapping[str, str]) -> str:
    words = ["keys", "issue", "--owner", "bench", "--tenant", "bench", "--scope", "predict", "--plan", "partner"]
    limits = [word for limit in LIMITS for word in ("--limit", limit)]
    command = [sys.executable, "-m", "gateway.cli", *words, *limits]
    done = subprocess.run(command, env=dict(environment), check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextlib.contextmanager
def peer(servers: Stack, folder: Path) -> Iterator[Party]:
    """``peer.py`` under one uvicorn worker, in its own environment."""
    assert servers.triton is not None
    python = interpreter(PEER_ENVIRONMENT, HERE / "peer-requirements.txt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PATH": os.defpath, "TRITON_HTTP": servers.triton.http_url.removeprefix("http://")}
    command = [python, "-m", "uvicorn", "--app-dir", HERE, "peer:app", "--port", port, "--no-access-log"]
    child = Child("The peer", [str(word) for word in command], log=folder / "peer.log", environment=environment)
    try:
        child.wait_ready(lambda: _status(port, "/openapi.json") == 200, 30)
        yield Party("peer", child.pid, port, "/predict")
    finally:
        child.stop(5)


class Floor:
    """``floor.py``. A context manager."""

    def __init__(self, servers: Stack) -> None:
        assert servers.triton is not None
        self._process = subprocess.Popen(
            [sys.executable, HERE / "floor.py", servers.triton.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Party:
        return Party("floor", self._process.pid)

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def run(self, picture: Picture, count: int, *, resizing: bool = True, sending: bool = True) -> dict[str, Any]:
        """So many pictures, one after the other: the last logits, and the CPU seconds of all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"path": str(picture.path), "count": count, "resizing": resizing, "sending": sending}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _status(port: int, path: str) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def milliseconds(server_timing: str) -> dict[str, float]:
    """Step to milliseconds, out of a Server-Timing header."""
    return {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", server_timing)}
