"""A receiver of audit messages: RFC 5425 frames over real TLS, mutual if asked, with certificates of its own."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Received:
    """What came, and how to reach the receiver."""

    port: int
    authority: Path
    certificate: Path
    key: Path
    messages: list[bytes] = field(default_factory=list)
    closed_in_order: int = 0


@asynccontextmanager
async def receiver(folder: Path, *, mutual: bool = False, leaves_after: int | None = None) -> AsyncIterator[Received]:
    """One that listens on a free port of localhost.

    Args:
        folder: For the certificates.
        mutual: Whether a caller needs a certificate too.
        leaves_after: After so many messages it closes the connection.
    """
    authority = trustme.CA()
    client = authority.issue_cert("gateway.example")
    files = folder / "ca.pem", folder / "client.pem", folder / "client.key"
    authority.cert_pem.write_to_path(str(files[0]))
    client.cert_chain_pems[0].write_to_path(str(files[1]))
    client.private_key_pem.write_to_path(str(files[2]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if mutual:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    received = Received(0, *files)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while leaves_after is None or len(received.messages) < leaves_after:
                length = await reader.readuntil(b" ")
                assert length.strip().isdigit()
                assert not length.startswith(b"0")  # RFC 5425 §4.3: MSG-LEN = NONZERO-DIGIT *DIGIT
                received.messages.append(await reader.readexactly(int(length)))
        except asyncio.IncompleteReadError as end:
            received.closed_in_order += end.partial == b""
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "localhost", 0, ssl=context)
    received.port = server.sockets[0].getsockname()[1]
    try:
        yield received
    finally:
        server.close()
        await asyncio.sleep(0)
