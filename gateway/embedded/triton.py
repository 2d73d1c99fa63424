"""The one-machine stack: a real Triton from the ``nvidia-pytriton`` wheel, on loopback, with its Python backend.

The wheel is used for the binary alone. It carries a stub program for each Python version, linked against that version's
libpython; the backend folder that Triton wants is put together from these at every start.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gateway.embedded.child import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.embedded.triton_environment import TritonEnvironment

READY_SECONDS = 90.0
"""The first start compiles the model; later ones find it in the cache and take two or three seconds."""

DEFAULT_CONFIGURATION = "openvino"
"""Of the shipped model: ``configs/openvino.pbtxt``."""

_EXIT_SECONDS = 5
_STOP_SECONDS = 8.0
_FIRST_PORT, _LAST_PORT = 20_000, 32_767
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives there, shm_overview(7)


@dataclass(frozen=True, slots=True)
class Ports:
    """Three ports of 127.0.0.1."""

    grpc: int
    http: int
    metrics: int

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on.

        Triton takes no open socket, so another program could take one of them before it does. Those that the kernel
        gives to outgoing connections (32768 and up, ip(7)) are left out: then only another listener could.
        """
        found: dict[int, socket.socket] = {}
        try:
            while len(found) < 3:
                port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
                if port not in found and (listener := _bound(port)) is not None:
                    found[port] = listener
            return cls(*found)
        finally:
            for listener in found.values():
                listener.close()


def _bound(port: int) -> socket.socket | None:
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        return None
    return listener


class Triton:
    """A running server."""

    def __init__(
        self,
        environment: TritonEnvironment,
        repository: Path,
        *,
        folder: Path,
        cache: Path,
        log: Path,
        control: Literal["none", "explicit"] = "none",
        configuration: str = DEFAULT_CONFIGURATION,
        flags: Mapping[str, str | Path] | None = None,
    ) -> None:
        """Start it; ready only after ``wait_ready``.

        Args:
            environment: Where its binary and its Python packages are.
            repository: The model repository.
            folder: A folder of its own, emptied here.
            cache: Where models keep what they compiled.
            log: Its log file.
            control: ``explicit`` lets a caller load and unload models, as tests of readiness do.
            configuration: Which ``configs/<name>.pbtxt`` of each model to use.
            flags: More of its command line, by name: those of TLS, for one.
        """
        self._environment = environment
        self._repository = repository.absolute()
        self._folder = folder
        self._cache = cache
        self._log = log
        self._control = control
        self._configuration = configuration
        self._flags = dict(flags or {})
        self._region = f"cordon_{secrets.token_hex(6)}"
        self._sweep_stale_regions()
        self._backends = environment.assemble_backends(folder / "backends")
        self.ports = Ports.free()
        self.child = self._start()
        (folder / "url").write_text(self.url, encoding="ascii")  # for commands beside the gateway

    @property
    def url(self) -> str:
        """host:port of the gRPC listener, for ``TRITON_URL``."""
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP listener: health, statistics, model control."""
        return f"http://127.0.0.1:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics."""
        return f"http://127.0.0.1:{self.ports.metrics}/metrics"

    def _start(self) -> Child:
        options = {
            "model-repository": self._repository,
            "model-config-name": self._configuration,
            "model-control-mode": self._control,
            "backend-directory": self._backends,
            "backend-config": f"python,shm-region-prefix-name={self._region}",
            "grpc-address": "127.0.0.1",
            "grpc-port": self.ports.grpc,
            "http-address": "127.0.0.1",
            "http-port": self.ports.http,
            "metrics-address": "127.0.0.1",
            "metrics-port": self.ports.metrics,
            "allow-gpu-metrics": "false",
            "exit-timeout-secs": _EXIT_SECONDS,
        }
        if self._control == "explicit":
            options["load-model"] = "*"
        options |= self._flags
        command = [str(self._environment.server), *(f"--{name}={value}" for name, value in options.items())]
        environment = self._environment.variables() | {"MODEL_CACHE_DIR": str(self._cache), "TMPDIR": str(self._folder)}
        return Child("Triton", command, log=self._log, environment=environment)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every model is loaded and warm.

        Raises:
            StartFailed: It ended, or was not ready in time.
        """
        self.child.wait_ready(self.answers, seconds)

    def answers(self, question: Literal["ready", "live"] = "ready") -> bool:
        """Whether it says within a second that all models are loaded, or just that it runs."""
        return self._says_yes(f"/v2/health/{question}")

    def has_loaded(self, model: str, version: str) -> bool:
        """Whether it says so of one version of a model."""
        return self._says_yes(f"/v2/models/{model}/versions/{version}/ready")

    def _says_yes(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=1.0)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End it and its models' processes at once, and remove the shared memory that it leaves behind."""
        self.child.stop(0.0)
        _remove_regions(self._region)

    def restart(self) -> None:
        """Start it anew after ``kill``, on the same ports; ready only after ``wait_ready``."""
        self.child = self._start()

    def stop(self) -> None:
        """Idempotent. Removes the shared memory that a killed server leaves behind."""
        self.child.stop(_STOP_SECONDS)
        _remove_regions(self._region)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sweep_stale_regions(self) -> None:
        """Remove what an earlier server on this folder left in /dev/shm when it was killed."""
        note = self._folder / "region"
        if note.exists():
            _remove_regions(note.read_text(encoding="ascii").strip())
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        note.write_text(self._region, encoding="ascii")


def _remove_regions(prefix: str) -> None:
    if not prefix.startswith("cordon_"):
        return
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        if region.stat().st_uid == os.getuid():
            region.unlink(missing_ok=True)
