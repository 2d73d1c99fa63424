"""What operators set for a model holds on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from gateway.database import create_engine
from gateway.errors import Conflict
from gateway.migrations import migrate
from gateway.models.offer import Offer
from gateway.models.routes import Change, Routes, Served, model_routes, moved
from gateway.models.spec import InputSpec, ModelSpec
from gateway.settings import DatabaseSettings
from inference_client.routing import Route
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

VERSIONS = {number: ModelSpec("m", number, number * 64, ("a", "b"), InputSpec()) for number in ("1", "2", "3")}
OFFER = Offer("m", VERSIONS, Route({"1": 100, "2": 0, "3": 0}))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def routes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Routes]:
    sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/models.db" if sqlite else request.getfixturevalue("postgres")
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    yield Routes(engine, cache_seconds=0)
    async with engine.begin() as connection:
        await connection.execute(model_routes.delete())
    await engine.dispose()


def change(number: int, **shares: int) -> Change:
    route = Route({version: shares.get(f"v{version}", 0) for version in VERSIONS}, "3", 5)
    served = Served(route, frozenset({"2"}), "1")
    return Change(number, served, OFFER.digest, "canary", "canary", "a note", "cli", datetime(2026, 1, 2, tzinfo=UTC))


async def test_the_newest_change_holds_and_the_others_stay(routes: Routes) -> None:
    assert (await routes.of(OFFER), await routes.last(OFFER)) == (Served(OFFER.route), None)
    first, second = change(1, v1=90, v3=10), change(2, v1=50, v3=50)
    await routes.add(OFFER, first)
    assert await routes.last(OFFER) == first
    await routes.add(OFFER, second)
    assert (await routes.last(OFFER), await routes.of(OFFER)) == (second, second.served)
    assert await routes.newest("m") == 2
    assert routes.of_late(OFFER) == second.served
    with pytest.raises(Conflict):
        await routes.add(OFFER, change(2, v1=1, v3=99))
    assert await routes.of(OFFER) == second.served


async def test_it_is_for_the_versions_that_the_file_offered_then(routes: Routes) -> None:
    await routes.add(OFFER, change(1, v3=100))
    other_weights = OFFER.versions | {"3": replace(OFFER.versions["3"], digest="f" * 64)}
    fewer = {number: spec for number, spec in OFFER.versions.items() if number != "2"}
    for offer in (
        replace(OFFER, route=Route({"1": 99, "2": 1, "3": 0})),
        replace(OFFER, versions=other_weights),
        replace(OFFER, versions=fewer, route=Route({"1": 100, "3": 0})),
        replace(OFFER, route=Route(OFFER.route.shares, "2", 1)),
    ):
        assert await routes.of(offer) == Served(offer.route)
        assert await routes.last(offer) is None
        assert await routes.newest("m") == 1  # the next number is free all the same
    assert (await routes.of(replace(OFFER, name="n"))).route == OFFER.route


def test_what_is_fallen_back_to_is_the_version_that_had_all_before() -> None:
    start = Served(OFFER.route)
    tenth = moved(start, {"1": 90, "2": 10, "3": 0})
    half = moved(tenth, {"1": 50, "2": 50, "3": 0})
    whole = moved(half, {"1": 0, "2": 100, "3": 0})
    assert [served.fallback for served in (start, tenth, half, whole)] == ["", "1", "1", "1"]
    assert moved(whole, {"1": 0, "2": 95, "3": 5}).fallback == "2"
    assert moved(half, {"1": 100, "2": 0, "3": 0}).fallback == ""
