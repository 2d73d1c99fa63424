"""The answer to a commit is lost on the network: the event is on record once, whichever way the commit went."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from gateway.errors import AuditUnavailable
from tests.support.audit import emptied, engine_of, finished, recording, request_ids, verified
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SOCKET = ".s.PGSQL.5432"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        if "host=/" not in url:
            pytest.skip("the proxy stands between unix sockets")
        yield url


@pytest.fixture
async def direct(postgres: str) -> AsyncIterator[str]:
    yield postgres
    engine = engine_of(postgres)
    await emptied(engine)
    await engine.dispose()


class Proxy:
    """Passes bytes on; once ``armed``, cuts the connection over which the next COMMIT comes."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self.armed: Literal["", "before", "after", "silence"] = ""
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._server))
        answers = asyncio.create_task(self._copy(up_reader, writer))
        with suppress(OSError):
            while data := await reader.read(65536):
                if b"COMMIT" in data and self.armed:
                    how, self.armed = self.armed, ""
                    self.cuts += 1
                    if how != "before":
                        answers.cancel()
                        await asyncio.wait([answers])
                        up_writer.write(data)
                        await up_reader.read(1)  # the server has committed
                    if how == "silence":
                        await reader.read()  # until the client gives up
                    break
                up_writer.write(data)
        answers.cancel()
        await asyncio.wait([answers])
        for each in (writer, up_writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()  # the server has hung up: so does the proxy


@asynccontextmanager
async def proxied(direct: str) -> AsyncIterator[tuple[str, Proxy]]:
    folder = direct.split("host=")[1]
    with tempfile.TemporaryDirectory(prefix="cordon-", dir="/tmp") as own:
        proxy = Proxy(Path(folder) / SOCKET)
        server = await asyncio.start_unix_server(proxy.serve, f"{own}/{SOCKET}")
        try:
            yield direct.replace(folder, own), proxy
        finally:
            server.close()


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_looked_up(direct: str, how: Literal["before", "after"]) -> None:
    async with proxied(direct) as (url, proxy), recording(url, timeout_seconds=10, checkpoint_seconds=600) as recorder:
        await recorder.record(finished("r0"))
        proxy.armed = how
        await asyncio.gather(*(recorder.record(finished(f"cut{number}")) for number in range(5)))
        assert proxy.cuts == 1
        await recorder.record(finished("after"))

    ids = await request_ids(direct)
    assert sorted(ids) == sorted(["r0", *(f"cut{number}" for number in range(5)), "after"])
    assert (await verified(direct)).good


async def test_a_server_that_falls_silent_costs_an_error_in_time_and_no_record_twice(direct: str) -> None:
    async with proxied(direct) as (url, proxy), recording(url, timeout_seconds=0.5, checkpoint_seconds=600) as recorder:
        await recorder.record(finished("r0"))
        proxy.armed = "silence"
        with pytest.raises(AuditUnavailable):
            await recorder.record(finished("silence"))
        for _ in range(50):
            with suppress(AuditUnavailable):
                await recorder.record(finished("after"))
                break

    ids = await request_ids(direct)
    assert ids == ["r0", "silence", "after"], "it had been committed: once, and not again"
    assert (await verified(direct)).good
