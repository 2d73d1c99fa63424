"""A worker dies alone, and says nothing of what it read."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import TooCostly, Unreadable, UnsafeFile
from gateway.isolation import START_SECONDS, WorkerDefect, Workers
from gateway.settings import IngestSettings


def _pid(_: object) -> int:
    return os.getpid()


def _hang(_: object) -> None:
    time.sleep(60)


def _work(seconds: float) -> None:
    time.sleep(seconds)


def _crash(_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _swallow_memory(_: object) -> int:
    return int(np.ones(8 * 2**30, dtype=np.uint8).sum())


def _recurse(depth: int) -> int:
    return _recurse(depth + 1)


def _write(path: str) -> None:
    Path(path).write_bytes(b"DOE^JANE")


def _limits(_: object) -> tuple[tuple[int, int], tuple[int, int]]:
    return resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE)


def _defect(name: str) -> None:
    raise ValueError(f"cannot parse {name}")


def _refuse(_: object) -> None:
    raise Unreadable("The image cannot be decoded", reason="truncated")


@pytest.fixture
def workers() -> Workers:
    return Workers(IngestSettings(worker_processes=1, worker_seconds=20))


async def test_one_process_serves_call_after_call(workers):
    assert await workers.run(_pid, None) == await workers.run(_pid, None) != os.getpid()


async def test_an_overdue_call_is_killed_and_the_next_one_served():
    workers = Workers(IngestSettings(worker_processes=1, worker_seconds=20))
    first = await workers.run(_pid, None)
    workers._seconds = 0.2
    with pytest.raises(TooCostly):
        await workers.run(_hang, None)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    workers._seconds = 20
    assert await workers.run(_pid, None) != first


async def test_a_call_may_have_another_time_limit(workers):
    first = await workers.run(_pid, None)
    with pytest.raises(TooCostly, match=r"0\.2 s"):
        await workers.run(_hang, None, seconds=0.2)
    assert await workers.run(_pid, None) != first


async def test_what_may_take_long_leaves_one_process_free():
    workers = Workers(IngestSettings(worker_processes=2, worker_seconds=20))
    long = [asyncio.create_task(workers.run(_hang, None, seconds=20)) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(workers.run(_pid, None), 15)
    assert not any(task.done() for task in long)
    for task in long:
        task.cancel()
    await asyncio.gather(*long, return_exceptions=True)


async def test_a_cancelled_caller_leaves_no_process_working(workers):
    pid = await workers.run(_pid, None)
    task = asyncio.create_task(workers.run(_hang, None))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers.busy == 1  # it gets as long as a fresh process takes to start
    async with asyncio.timeout(START_SECONDS + 20):
        assert await workers.run(_pid, None) != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert workers.ended == {"abandoned": 1}


async def test_a_short_call_that_is_left_costs_no_process(workers):
    pid = await workers.run(_pid, None)
    task = asyncio.create_task(workers.run(_work, 0.3))
    await asyncio.sleep(0.1)
    task.cancel()
    assert await workers.run(_pid, None) == pid
    assert not workers.ended


async def test_who_waits_for_a_place_and_leaves_is_never_begun(workers):
    await workers.run(_pid, None)
    first = asyncio.create_task(workers.run(_work, 0.3))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(workers.run(_work, 5.0))
    await asyncio.sleep(0.05)
    assert (workers.busy, workers.asked) == (1, 2)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await first
    async with asyncio.timeout(3):
        assert await workers.run(_pid, None)


async def test_a_crash_is_a_named_error_and_the_next_one_is_served(workers):
    with pytest.raises(UnsafeFile):
        await workers.run(_crash, None)
    assert await workers.run(_pid, None)


async def test_memory_is_bounded(workers):
    with pytest.raises(TooCostly):
        await workers.run(_swallow_memory, None)


async def test_endless_recursion_is_a_named_error(workers):
    with pytest.raises(UnsafeFile):
        await workers.run(_recurse, 0)


async def test_no_file_can_be_written(workers, tmp_path):
    target = tmp_path / "leak"
    with pytest.raises(WorkerDefect, match="OSError"):
        await workers.run(_write, str(target))
    assert not target.exists() or target.read_bytes() == b""


async def test_core_dumps_and_files_are_off(workers):
    assert await workers.run(_limits, None) == ((0, 0), (0, 0))


async def test_a_defect_says_where_but_never_what(workers):
    with pytest.raises(WorkerDefect) as caught:
        await workers.run(_defect, "DOE^JANE")
    assert "ValueError at test_isolation.py:" in str(caught.value)
    assert "JANE" not in str(caught.value)


async def test_a_refusal_comes_back_whole(workers):
    with pytest.raises(Unreadable) as caught:
        await workers.run(_refuse, None)
    assert caught.value.members == {"reason": "truncated"}


async def test_calls_wait_for_a_free_process(workers):
    pids = await asyncio.gather(*(workers.run(_pid, None) for _ in range(5)))
    assert len(set(pids)) == 1


def test_the_gateways_own_files_are_for_its_own_user(tmp_path):
    script = (
        "import pathlib, resource, sys; from gateway.isolation import guard_own_files; guard_own_files();"
        "path = pathlib.Path(sys.argv[1]); path.touch();"
        "print(oct(path.stat().st_mode & 0o777), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "file"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split(maxsplit=1) == ["0o600", "(0, 0)\n"]
