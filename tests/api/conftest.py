"""Callers of the one gateway, with a key and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.site import Site


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    """The gateway, its model server whole."""
    running_site.listen()
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
