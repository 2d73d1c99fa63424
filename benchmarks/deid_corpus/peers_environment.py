"""De-identification benchmark: an environment of its own for the other tools, made once and kept.

They need other versions than the gateway and are never imported by it. The folder is ``.peers`` beside ``.venv``; what
goes into it is named, with hashes, by ``peers-requirements.txt``.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")
FOLDER = Path(__file__).resolve().parents[2] / ".peers"


class NoPeers(Exception):
    """The environment could not be made; the text says why, for a person."""


def interpreter(folder: Path = FOLDER, requirements: Path = REQUIREMENTS) -> Path:
    """The Python of the environment, which is made or brought up to date first, saying what is installed.

    Args:
        folder: Where it is, or is to be.
        requirements: What is in it, with hashes.

    Raises:
        NoPeers: The package index cannot be reached, or does not have what the requirements name.
    """
    python, done = folder / "bin" / "python", folder / ".installed"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if done.exists() and done.read_text("utf-8") == digest:
        return python
    wanted = ", ".join(re.findall(r"^[\w.-]+==\S+", requirements.with_suffix(".in").read_text("utf-8"), re.MULTILINE))
    print(f"Making {folder} (once). Installing {wanted} and what they need, from the package index", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
               "--only-binary", ":all:", "--retries", "1", "--timeout", "15", "-r", requirements]  # fmt: skip
    installed = subprocess.run(command, check=False, capture_output=True, text=True)
    if installed.returncode:
        reason = next(
            (line for line in installed.stderr.splitlines() if line.startswith("ERROR")), "pip gave no reason"
        )
        raise NoPeers(
            f"The other tools could not be installed into {folder}: {reason}\n"
            "Is the package index reachable from here? pip's own settings (PIP_INDEX_URL, PIP_PROXY, pip.conf) are "
            "used. An environment made elsewhere can be named with --peers-python."
        )
    done.write_text(digest, "utf-8")
    return python
