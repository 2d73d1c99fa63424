"""One gateway for all tests of the HTTP surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.site import Site, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="session")
def running_site(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(settings_for(tmp_path_factory.mktemp("site"), valkey_server.url)).start()
    yield running
    running.stop()


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    """The gateway, its model server whole."""
    model = running_site.model
    yield running_site
    model.state, model.delay, model.broken = "up", 0.0, False


@pytest.fixture(scope="session")
def key(running_site: Site) -> str:
    """A key that may do everything, without limits."""
    return running_site.key()


@pytest.fixture
def caller(site: Site, key: str) -> Iterator[httpx.Client]:
    """A caller with that key."""
    with site.client(key) as client:
        yield client


@pytest.fixture
def stranger(site: Site) -> Iterator[httpx.Client]:
    """A caller without one."""
    with site.client() as client:
        yield client
