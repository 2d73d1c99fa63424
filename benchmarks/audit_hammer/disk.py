"""A small disk that can be made full: a tmpfs of its own where that may be mounted, so that the kernel says ENOSPC."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = 2**16


class Disk:
    """A folder on a file system of its own.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave not a byte."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = PIECE
        while size:
            try:
                written = os.write(descriptor, b"\0" * size)
            except OSError:
                written = 0
            size = size if written == size else size // 2
        os.close(descriptor)

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """Mount one in ``folder``.

    Raises:
        PermissionError: Nothing may be mounted here (it takes root).
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise PermissionError(f"a disk of {megabytes} MB cannot be mounted in {folder}: it takes root")
    try:
        yield Disk(folder)
    finally:
        with suppress(OSError):
            os.sync()
        subprocess.run(["umount", "-l", str(folder)], check=False)
