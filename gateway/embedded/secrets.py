"""The one-machine stack: this machine's own secrets, made once and kept in files of mode 0600.

Losing them is not harmless: without the pepper every API key is void, without the pseudonym key the same patient gets
new pseudonyms, without the chain key the audit log cannot be verified. The tokens' key alone may go: they are short.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from gateway.embedded.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.embedded.state import StateFolder

NAMES = ("ADMISSION_KEY_PEPPER", "DEID_KEY", "AUDIT_CHAIN_KEY")
"""The settings that hold secrets; each is read from the file that ``<NAME>_FILE`` names."""

TOKEN_KEY = "OAUTH_SIGNING_KEY"  # noqa: S105 - a setting's name
"""The one that a gateway can be without: it needs to know its own address to use it."""

_BYTES = 48


def ensure_secrets(state: StateFolder) -> dict[str, str]:
    """Make what is missing.

    Args:
        state: Holds the files.

    Returns:
        ``<NAME>_FILE`` to path, for the gateway's environment.

    Raises:
        StackError: A file may be read by others.
    """
    return {f"{name}_FILE": str(ensure_secret(state.secret(name))) for name in NAMES}


def ensure_secret(path: Path) -> Path:
    """Make one secret if its file is missing. Its folder is there.

    Raises:
        StackError: The file may be read by others.
    """
    if not path.exists():
        # Written aside and then linked into place: a file that a crash cut short is never taken for a secret.
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_urlsafe(_BYTES).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(path)
    if path.stat().st_mode & 0o077:
        raise StackError(f"{path} may be read by other users. Run: chmod 600 {path}")
    return path
