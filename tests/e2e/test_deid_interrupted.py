"""``cordon deid``, killed or stopped in the middle: the same command makes the result whole, byte for byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import alive, descendants, within
from tests.support.scans import command, deid, environment, outputs, scans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT = 30


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans in ``in``, and in ``whole`` what a run that nothing interrupts makes of them."""
    folder = tmp_path_factory.mktemp("site")
    scans(folder / "in", COUNT)
    answer = deid(folder, "in", "-o", "whole")
    assert answer.returncode == 0, answer.stderr
    assert len(outputs(folder / "whole")) == COUNT
    return folder


@contextmanager
def running(site: Path, out: str) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A run that has added a few outputs, and its workers; when the block has ended it, no worker is left."""
    before = len(list((site / out).rglob("*.dcm")))
    with subprocess.Popen(
        command("in", "-o", out, "-j", 2),
        cwd=site,
        env=environment(site),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert within(60, lambda: len(list((site / out).rglob("*.dcm"))) >= before + 3)
        workers = descendants(process.pid)
        yield process, workers
        assert within(10, lambda: not any(alive(worker) for worker in workers))


def test_killed_twice_and_run_again_it_is_whole_and_the_same(site: Path) -> None:
    for _ in range(2):
        with running(site, "killed") as (process, workers):
            assert len(workers) == 2
            process.kill()
            process.wait()
    assert len(outputs(site / "killed")) < COUNT
    answer = deid(site, "in", "-o", "killed")
    assert answer.returncode == 0, answer.stderr
    assert "in an earlier run" in answer.stdout
    assert outputs(site / "killed") == outputs(site / "whole")


def test_stopped_it_says_how_to_go_on_and_does(site: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with running(site, "stopped") as (process, _):
            os.killpg(process.pid, number)  # a terminal's Ctrl-C reaches the workers too
            began = time.monotonic()
            assert process.wait(20) == 130
            assert time.monotonic() - began < 5
            assert process.stderr is not None
            said = process.stderr.read()
        assert "the same command goes on" in said
        assert "Traceback" not in said
    assert 0 < len(outputs(site / "stopped")) < COUNT
    assert deid(site, "in", "-o", "stopped").returncode == 0
    assert outputs(site / "stopped") == outputs(site / "whole")


def test_outputs_that_were_lost_or_cut_are_made_again(site: Path) -> None:
    shutil.copytree(site / "whole", site / "lost")
    first, second, *_ = sorted((site / "lost").rglob("*.dcm"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    answer = deid(site, "in", "-o", "lost")
    assert answer.returncode == 0
    assert outputs(site / "lost") == outputs(site / "whole")


def test_another_key_or_tenant_into_the_same_folder_is_refused(site: Path) -> None:
    kept = outputs(site / "whole")
    for words, more in (((), {"DEID_KEY": "another key of the tests, long enough"}), (("--tenant", "acme"), {})):
        answer = deid(site, "in", "-o", "whole", *words, **more)
        assert answer.returncode == 2
        assert "pseudonyms: name another folder" in answer.stderr
    assert outputs(site / "whole") == kept
