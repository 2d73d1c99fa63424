"""The one-machine stack: Valkey and Triton side by side, then the gateway; stopped in the opposite order."""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from gateway.embedded.child import Child
from gateway.embedded.errors import StackError
from gateway.embedded.keeper import Keeper
from gateway.embedded.secrets import NAMES, TOKEN_KEY, ensure_secret, ensure_secrets
from gateway.embedded.triton import DEFAULT_CONFIGURATION, Triton
from gateway.embedded.triton_environment import DEFAULT_ENVIRONMENT, TritonEnvironment
from gateway.embedded.valkey import Valkey
from gateway.models.catalog import ModelCatalog

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from gateway.embedded.state import StateFolder

DEFAULT_REPOSITORY = Path("model_repository")
DEFAULT_MODELS_POLICY = Path("policies/models.yaml")

_GATEWAY_READY_SECONDS = 60.0
_GATEWAY_STOP_MARGIN_SECONDS = 8.0


class Stack:
    """The servers of one machine. A context manager: leaving it stops all of them.

    Attributes:
        state: The folder that holds everything.
        valkey: The running Valkey, once started.
        triton: The running Triton, once started.
        gateway: The gateway's process, once started.
    """

    def __init__(
        self,
        state: StateFolder,
        *,
        triton_environment: Path = DEFAULT_ENVIRONMENT,
        repository: Path = DEFAULT_REPOSITORY,
        models_policy: Path = DEFAULT_MODELS_POLICY,
        control: Literal["none", "explicit"] = "explicit",
        configuration: str = DEFAULT_CONFIGURATION,
    ) -> None:
        """Nothing is started yet.

        Args:
            state: Locked by the caller, for longer than the stack runs.
            triton_environment: The virtual environment that holds Triton.
            repository: The model repository.
            models_policy: Which of its models are offered.
            control: Triton's model control mode; ``explicit`` lets ``cordon model`` load and unload versions.
            configuration: Which ``configs/<name>.pbtxt`` of each model Triton uses: the runtime, and which versions.
        """
        self.state = state
        self._triton_environment = triton_environment
        self._repository = repository
        self._models_policy = models_policy
        self._control = control
        self._configuration = configuration
        self.valkey: Valkey | None = None
        self.triton: Triton | None = None
        self.gateway: Child | None = None
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start Valkey and Triton; both come up at the same time.

        Raises:
            StackError: One of them cannot be started. What was started is stopped by ``stop``.
        """
        if not self._repository.is_dir():
            raise StackError(f"There is no model repository {self._repository}. Run from the project's folder.")
        environment = TritonEnvironment.find(self._triton_environment)
        logs = self.state.logs
        self.triton = Triton(
            environment,
            self._repository,
            folder=self.state.path / "triton",
            cache=self.state.cache,
            log=logs / "triton.log",
            control=self._control,
            configuration=self._configuration,
        )
        self.valkey = Valkey(self.state.socket("valkey.sock"), logs / "valkey.log")

    def wait_ready(self) -> None:
        """Check the models' weights, then wait until both answer and every model is loaded and warm.

        Raises:
            StackError: A file of a model is not the one that its manifest lists, or a version that has a share
                is not loaded.
            StartFailed: One ended or took too long.
        """
        valkey, triton = self._started()
        try:
            catalog = ModelCatalog.load(self._models_policy, self._repository)
            catalog.verify_weights()
        except ValueError as error:
            raise StackError(f"The models cannot be served. {error}") from error
        valkey.wait_ready()
        triton.wait_ready()
        for offer in catalog.offers.values():
            for version in offer.route.serving:  # one without a share may be loaded later: cordon model load
                if not triton.has_loaded(offer.name, version):
                    raise StackError(
                        f"{self._models_policy} has version {version} of {offer.name} answer, which is not loaded: the "
                        f"configuration {self._configuration} does not name it in its version_policy."
                    )

    def variables(self) -> dict[str, str]:
        """The settings of a gateway on this stack; secrets as the files that hold them."""
        valkey, triton = self._started()
        return {
            "REDIS_URL": valkey.url,
            "TRITON_URL": triton.url,
            "DATABASE_URL": self.state.database_url,
            "MODELS_REPOSITORY": str(self._repository.absolute()),
            "MODELS_POLICY": str(self._models_policy.absolute()),
            **ensure_secrets(self.state),
        }

    def start_gateway(
        self,
        listener: socket.socket,
        variables: Mapping[str, str] | None = None,
        metrics: socket.socket | None = None,
        *,
        secure: bool = False,
    ) -> None:
        """Start ``cordon serve`` on a socket that is bound already, so that its port is known and cannot be lost.

        Args:
            listener: Bound, not yet listening: a caller that comes too early is refused, not kept waiting.
            variables: More settings; they win over this stack's.
            metrics: The same, for metrics; None where none are served.
            secure: Its settings name a certificate: it is asked by HTTPS.
        """
        sockets, options = [listener], ["--fd", str(listener.fileno())]
        if metrics is not None:
            sockets.append(metrics)
            options += ["--metrics-fd", str(metrics.fileno())]
        inherited = {name: value for name, value in os.environ.items() if name not in NAMES}
        self.gateway = Child(
            "The gateway",
            [sys.executable, "-m", "gateway.cli", "serve", *options],
            log=self.state.logs / "gateway.log",
            environment=self._of_tokens(listener, "https" if secure else "http")
            | inherited
            | self.variables()
            | dict(variables or {}),
            pass_fds=[each.fileno() for each in sockets],
        )
        self._address, self._secure = listener.getsockname()[:2], secure

    def _of_tokens(self, listener: socket.socket, scheme: str) -> dict[str, str]:
        """A key for access tokens, and the gateway's URL as callers on this machine know it."""
        if TOKEN_KEY in os.environ:
            return {}
        host, port = listener.getsockname()[:2]
        known_as = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104
        if known_as not in {"127.0.0.1", "[::1]"} and "OAUTH_ISSUER" not in os.environ:
            return {}  # tokens over plain HTTP are given on this machine alone
        key = ensure_secret(self.state.secret(TOKEN_KEY))
        return {f"{TOKEN_KEY}_FILE": str(key), "OAUTH_ISSUER": f"{scheme}://{known_as}:{port}"}

    def wait_gateway_ready(self) -> None:
        """Wait until the gateway says that it and all it needs are ready.

        Raises:
            StartFailed: It ended or took too long.
        """
        assert self.gateway is not None
        self.gateway.wait_ready(self._gateway_ready, _GATEWAY_READY_SECONDS)

    def _gateway_ready(self) -> bool:
        host, port = self._address
        connection = http.client.HTTPConnection(host, port, timeout=2.0)
        if self._secure:  # our own child, on a socket that we hold: whom its certificate names is no question
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(host, port, timeout=2.0, context=trusting)
        try:
            connection.request("GET", "/readiness")
            answer = connection.getresponse()
            answer.read()
            return answer.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def check(self, say: Callable[[str], None]) -> None:
        """Look after the servers: a model server that is not well is started anew.

        Args:
            say: Told of that, in a sentence.

        Raises:
            StackError: Another server ended unasked.
        """
        for child in (self.valkey.child if self.valkey is not None else None, self.gateway):
            if child is not None and child.exited:
                raise StackError(child.describe_exit())
        if self.triton is not None:
            self._keeper = self._keeper or Keeper(self.triton, say)
            self._keeper.watch()

    def stop(self, drain: float = 10.0) -> None:
        """Stop all: the gateway first, so that its running requests still find their servers. Idempotent.

        Args:
            drain: Seconds that running requests get to end.
        """
        if self.gateway is not None:
            self.gateway.stop(drain + _GATEWAY_STOP_MARGIN_SECONDS)
        # Both are asked before either is waited for.
        if self.triton is not None:
            self.triton.child.ask_to_stop()
        if self.valkey is not None:
            self.valkey.stop()
        if self.triton is not None:
            self.triton.stop()

    def _started(self) -> tuple[Valkey, Triton]:
        if self.valkey is None or self.triton is None:
            raise StackError("The stack has not been started")
        return self.valkey, self.triton
