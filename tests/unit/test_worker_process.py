"""What goes to a worker process and comes back is whole, whatever its size; and no process is left over."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from gateway.worker_main import LENGTH, pack, unpack
from gateway.worker_process import BrokenProcess, WorkerProcesses

ROOT = Path(__file__).resolve().parents[2]


def _same(thing: object) -> object:
    return thing


def _pid(_: object) -> int:
    return os.getpid()


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(_: object) -> None:
    raise LookupError("why")


def _unpicklable(_: object) -> object:
    return lambda: None


def _joined(parts: list[object]) -> bytearray:
    return bytearray(b"".join(parts)[LENGTH.size :])


def test_arrays_travel_outside_of_the_pickle():
    array = np.arange(150_528, dtype=np.uint8).reshape(1, 224, 224, 3)
    parts = pack({"tensor": array, "more": [1, "two"], "second": array[0, 0].copy()})
    assert [len(part) for part in parts[2:]] == [150_528, 672]
    assert len(parts[1]) < 1000
    back = unpack(_joined(parts))
    assert np.array_equal(back["tensor"], array)
    assert np.array_equal(back["second"], array[0, 0])
    assert back["more"] == [1, "two"]


async def test_whatever_its_size_it_comes_back():
    processes = WorkerProcesses()
    for size in (0, 1, 65_536, 500_000, 9_000_000):
        thing = (os.urandom(size), np.frombuffer(os.urandom(size), np.uint8))
        back = await processes.call(_same, thing)
        assert back[0] == thing[0]
        assert np.array_equal(back[1], thing[1])
    first = await processes.call(_pid, None)
    assert first == await processes.call(_pid, None) != os.getpid()


async def test_what_is_raised_comes_back_and_the_process_stays():
    processes = WorkerProcesses()
    pid = await processes.call(_pid, None)
    with pytest.raises(LookupError, match="why"):
        await processes.call(_raise, None)
    with pytest.raises(Exception, match="pickle"):
        await processes.call(_unpicklable, None)
    with pytest.raises(Exception, match="pickle"):
        await processes.call(_same, lambda: None)
    assert await processes.call(_pid, None) == pid


async def test_one_that_dies_is_told_and_replaced():
    processes = WorkerProcesses()
    pid = await processes.call(_pid, None)
    with pytest.raises(BrokenProcess):
        await processes.call(_die, None)
    second = await processes.call(_pid, None)
    assert second != pid
    os.kill(second, signal.SIGKILL)  # while nobody asks it
    os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it is killed: it ends now
    assert await processes.call(_pid, None) not in {pid, second}


async def test_a_cancelled_call_leaves_no_process():
    processes = WorkerProcesses()
    pid = await processes.call(_pid, None)
    call = asyncio.create_task(processes.call(_sleep, 60))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not psutil.pid_exists(pid)


def test_the_end_of_the_loop_ends_them():
    async def pids() -> list[int]:
        processes = WorkerProcesses()
        calls = [processes.call(_pid, None) for _ in range(2)]
        running = asyncio.create_task(processes.call(_sleep, 60))
        found = await asyncio.gather(*calls)
        assert not running.done()
        return found

    others = set(psutil.Process().children())  # servers of the whole run
    left = asyncio.run(pids())
    assert not any(psutil.pid_exists(pid) for pid in left)
    assert not set(psutil.Process().children()) - others


def test_a_killed_parent_leaves_none_behind():
    script = (
        "import asyncio, os, sys; sys.path[:0] = sys.argv[1:]\n"
        "from gateway.worker_process import WorkerProcesses\n"
        "async def main():\n"
        "    processes = WorkerProcesses()\n"
        "    print(await processes.call(os.getpid), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(ROOT)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(10)
