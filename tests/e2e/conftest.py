"""One gateway on real servers, shared by the tests that only ask it questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gateway import RunningGateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.embedded.stack import Stack


@pytest.fixture(scope="session")
def gateway(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """``cordon serve`` with the shipped policies."""
    with running_gateway(stack, tmp_path_factory.mktemp("gateway")) as running:
        yield running
