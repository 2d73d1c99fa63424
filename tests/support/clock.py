"""A server's wall clock that a test can move: the server's own, not its answer to one question.

``clock.c`` is put in front of the C library's clock when the server starts. It needs a C compiler; where there is none,
the tests that need a moved clock are skipped.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """One clock, for any number of servers.

    Args:
        folder: For the library and the file by which it is told.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler, for a clock that can be moved")
        library, self._file = folder / "clock.so", folder / "clock"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True, timeout=60)
        self._file.write_bytes(bytes(8))
        with self._file.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}

    @property
    def ahead(self) -> float:
        """Seconds that it is ahead of the machine's."""
        return float(struct.unpack("=q", self._shared[:8])[0] / 1e6)

    def step(self, seconds: float) -> None:
        """Put it forward, or back."""
        self._shared[:8] = struct.pack("=q", round((self.ahead + seconds) * 1e6))
