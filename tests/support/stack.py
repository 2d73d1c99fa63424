"""A real Triton and a real Valkey, one of each a test session. Tests that use it are marked ``stack``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TRITON_ENVIRONMENT = ROOT / ".triton"


def require_triton() -> None:
    """Skip where the model server is not installed; in CI its absence is a failure."""
    if (TRITON_ENVIRONMENT / ".installed").exists():
        return
    reason = "the model server is not installed: make install"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Running servers: ``stack.triton.url`` (gRPC), ``stack.triton.http_url``, ``stack.valkey.url`` (Redis).

    Models may be unloaded and loaded again (``POST /v2/repository/models/NAME/unload``); put back what you change.
    """
    require_triton()
    # Compiled models outlive the session, so that only the first one on a machine waits for them.
    folder = StateFolder(tmp_path_factory.mktemp("stack"), cache=ROOT / ".cordon" / "cache")
    with (
        folder as state,
        Stack(
            state,
            triton_environment=TRITON_ENVIRONMENT,
            repository=ROOT / "model_repository",
            models_policy=ROOT / "policies" / "models.yaml",
            control="explicit",
        ) as stack,
    ):
        stack.start()
        stack.wait_ready()
        yield stack
