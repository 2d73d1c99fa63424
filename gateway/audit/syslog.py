"""Step 7 of 7: audit messages to a receiver over TLS, as DICOM PS3.15 A.6 asks: RFC 5424 messages in RFC 5425 frames.

Syslog has no answer that says "kept": what was handed to the transport before the receiver closed the connection counts
as sent. Whoever resumes after a failure sends again from the number that was on record; the receiver may then have a
message twice, never one too few.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from gateway.audit.as_dicom import message
from gateway.errors import ReceiverUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.chain import Record

FACILITY = 10
"""security/authorization messages (RFC 5424 §6.2.1), as PS3.15 A.6 asks."""
MSGID = "DICOM+RFC3881"
APP_NAME = "cordon"
DEFAULT_PORT = 6514
"""RFC 5425 §4.1."""

_SEVERITIES = {"success": 5, "refused": 4, "failed": 3}  # notice, warning, error (RFC 5424 §6.2.1)
_BOM = b"\xef\xbb\xbf"  # RFC 5424 §6.4: the message is UTF-8
_SECONDS = 10.0
_HIGH_WATER_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to.

    Attributes:
        host: Its name, which its certificate must have.
        port: Its port.
        authority: PEM file of the CA that signed its certificate; None for the system's.
        certificate: PEM file of our own certificate, for mutual TLS.
        key: PEM file of that certificate's key.
    """

    host: str
    port: int
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def parse(
        cls, url: str, authority: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> Self:
        """From ``tls://host[:port]``.

        Raises:
            ValueError: It is not one.
        """
        parts = urlsplit(url)
        if parts.scheme != "tls" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError("write tls://HOST or tls://HOST:PORT")
        return cls(parts.hostname, parts.port or DEFAULT_PORT, authority, certificate, key)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer; the receiver's certificate and name are checked (RFC 5425 §4.2, RFC 9662).

        Raises:
            OSError, ssl.SSLError: A file cannot be read.
        """
        context = ssl.create_default_context(cafile=self.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


class SyslogForm:
    """Records as frames.

    Args:
        source: The installation's name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._host = re.sub(r"[^\x21-\x7e]", "", socket.gethostname())[:255] or "-"

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def record(self, record: Record) -> bytes:
        """One frame."""
        return frame(record, self._source, self._host)

    def end(self) -> bytes:
        """Nothing."""
        return b""


def frame(record: Record, source: str, host: str) -> bytes:
    """``LENGTH SP MESSAGE`` (RFC 5425 §4.3), the length in octets."""
    said = record.fields
    priority = FACILITY * 8 + _SEVERITIES.get(str(said.get("outcome", "success")), 3)
    head = f"<{priority}>1 {said.get('time', '-')} {host} {APP_NAME} {os.getpid()} {MSGID} - "
    text = head.encode("ascii", "replace") + _BOM + message(record, source)
    return b"%d %b" % (len(text), text)


class Connection:
    """An open connection to a receiver. Use ``connect``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._gone = asyncio.create_task(self._watch(), name="syslog-receiver")

    async def _watch(self) -> None:
        """A receiver sends nothing (RFC 5425 has no answers): whatever comes first is its end."""
        while await self._reader.read(4096):
            pass

    async def send(self, frames: bytes) -> None:
        """Hand over frames; waits while the receiver is slow.

        Raises:
            ReceiverUnavailable: The connection broke, or the receiver takes nothing for 10 s.
        """
        if self._gone.done():
            raise ReceiverUnavailable("The receiver closed the connection")
        try:
            self._writer.write(frames)
            async with asyncio.timeout(_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise ReceiverUnavailable(f"The receiver takes nothing ({type(error).__name__})") from None

    async def close(self) -> None:
        """End in order: all that was handed over goes out, then TLS's close_notify.

        Raises:
            ReceiverUnavailable: The connection broke before that.
        """
        broken = self._gone.done()
        try:
            async with asyncio.timeout(_SECONDS):
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise ReceiverUnavailable(f"The connection broke at its end ({type(error).__name__})") from None
        finally:
            self._gone.cancel()
            await asyncio.wait([self._gone])
        if broken:
            raise ReceiverUnavailable("The receiver closed the connection")


async def connect(receiver: Receiver) -> Connection:
    """Open a connection.

    Raises:
        ReceiverUnavailable: It cannot be reached, or its certificate is not trusted.
    """
    try:
        context = receiver.context()
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(
                receiver.host, receiver.port, ssl=context, limit=_HIGH_WATER_BYTES
            )
    except ssl.SSLCertVerificationError:
        raise ReceiverUnavailable("The receiver's certificate is not trusted") from None
    except (OSError, TimeoutError) as error:
        raise ReceiverUnavailable(f"The receiver cannot be reached ({type(error).__name__})") from None
    return Connection(reader, writer)
