"""Step 5 of 7: the connection to Triton: over TLS or not, to one server or spread over several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

OPTIONS = (
    # A restarted server is found within about a second (gRPC's own defaults: 1 s, growing to 120 s), and a connection
    # attempt into the void is given up after two (default 20).
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 2000),
    # A host that vanished without a word is noticed while calls wait on it; else TCP takes a quarter of an hour.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A detector answers an image of 640 x 640 with 84 x 8400 numbers, 2.8 MB: 16 images in one answer are 45.
    ("grpc.max_receive_message_length", 64 * 2**20),
)
"""https://grpc.github.io/grpc/core/group__grpc__arg__keys.html"""

_OF_SEVERAL = ("dns:", "ipv4:", "ipv6:")
"""https://grpc.github.io/grpc/core/md_doc_naming.html"""


def options_for(url: str) -> tuple[tuple[str, str | int], ...]:
    """How calls are spread: over all addresses of a URL that says how a name is resolved, else none.

    Of several servers each is kept connected and asked in turn; of one that is away the others take the calls. One
    alone is connected to again by the next call, so that it is found the moment it is back.
    """
    return (*OPTIONS, ("grpc.lb_policy_name", "round_robin")) if url.startswith(_OF_SEVERAL) else OPTIONS


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server is known, and how it knows us.

    Attributes:
        ca: PEM file of the authorities that vouch for the server; its certificate must name the host of the URL.
        certificate: PEM file of our own certificate, with its chain; empty where the server asks for none.
        key: PEM file of its key.
    """

    ca: str
    certificate: str = ""
    key: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """The files, read now. Raises OSError."""
        own = [Path(file).read_bytes() for file in (self.key, self.certificate) if file]
        return grpc.ssl_channel_credentials(Path(self.ca).read_bytes(), *own)
