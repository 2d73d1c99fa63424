"""An authority of the test's own, and certificates by it, as files."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """One, with a server's and a client's certificate of its.

    Args:
        folder: For the files; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))
        self.server = self.issue("server")
        self.client = self.issue("client")

    def issue(self, name: str, *, end: datetime | None = None) -> tuple[Path, Path]:
        """A certificate of localhost and its key; once more for the same name: renewed, in the same files."""
        end = end or datetime.now(UTC) + timedelta(days=30)
        made = self._ca.issue_cert("localhost", "127.0.0.1", common_name=name, not_after=end)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        made.private_key_pem.write_to_path(str(key))
        made.cert_chain_pems[0].write_to_path(str(certificate))
        return certificate, key

    def server_context(self, *, mutual: bool = False) -> ssl.SSLContext:
        """For a server; mutual: callers must show a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        if mutual:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, *, known: bool = True) -> ssl.SSLContext:
        """For a caller; known: it shows its certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if known:
            context.load_cert_chain(*self.client)
        return context
