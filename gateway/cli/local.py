"""The command line: lets ``cordon keys``, ``audit``, ``model``, ... work on what ``cordon up`` keeps in its folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from gateway.embedded.secrets import NAMES
from gateway.embedded.state import StateFolder

if TYPE_CHECKING:
    from pathlib import Path


def use_local_state(path: Path) -> None:
    """Set the database and the secrets of a state folder, unless an installation is named in the environment or .env.

    All or nothing: a database must never meet the secrets of another. The folder's Valkey and Triton are set too while
    they run.
    """
    folder = StateFolder(path)
    named = {name for name, value in (dotenv_values(".env") | dict(os.environ)).items() if value}
    secrets = {f"{name}_FILE": folder.secret(name) for name in NAMES}
    if named & {"DATABASE_URL", *NAMES, *secrets} or not all(file.exists() for file in secrets.values()):
        return
    os.environ["DATABASE_URL"] = folder.database_url
    if (valkey := folder.path / "run" / "valkey.sock").exists():
        os.environ.setdefault("REDIS_URL", f"unix://{valkey}")
    if (triton := folder.path / "triton" / "url").exists():
        os.environ.setdefault("TRITON_URL", triton.read_text(encoding="ascii"))
    for name, file in secrets.items():
        os.environ[name] = str(file)
