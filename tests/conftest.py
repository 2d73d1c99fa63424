"""What tests of several packages share: real servers, each started once a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import stack
from tests.support.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["stack"]


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """One Valkey for the whole run; its folder is short because a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as folder:
        server = ValkeyServer(Path(folder)).start()
        yield server
        server.stop()


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """The run's Valkey, emptied."""
    with valkey_server.client() as client:
        client.flushall()
        client.script_flush()
    return valkey_server
