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

    from tests.support.site import Site

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
    valkey_server.clear()
    return valkey_server


@pytest.fixture(scope="session")
def running_site(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway on a socket for the whole run, with a model server that can be broken."""
    from tests.support.site import Site, settings_for  # the whole application: only for those who ask

    running = Site(settings_for(tmp_path_factory.mktemp("site"), valkey_server.url, log={"level": "DEBUG"})).start()
    yield running
    running.stop()
