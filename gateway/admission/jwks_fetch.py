"""Step 1 of 7: fetches JWK sets: bounded, without redirects or a proxy of the environment.

An issuer's URL is the operator's own. A client's URL comes from whoever may register clients, so it is held tighter
(OWASP API7:2023): https only, and to public addresses, unless the operator lists the host. The name is looked up once
and the connection goes to the very address that was checked; the certificate must be the name's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

MAX_BYTES = 64 * 2**10
MAX_URL = 1000
FETCH_SECONDS = 3.0
_MAX_ADDRESSES = 4
_MAX_AGE = re.compile(r"max-age=\"?(\d{1,9})\"?", re.IGNORECASE)
_NOT_KEPT = re.compile(r"\b(no-store|no-cache)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Attributes:
        content: At most MAX_BYTES.
        fresh_seconds: How long its ``Cache-Control`` lets it be kept; None if that says nothing.
    """

    content: bytes
    fresh_seconds: float | None


class KeySetFetcher:
    """One a process. Connections are not reused: one that was opened for a name must not serve another.

    Args:
        certificates: A file of CA certificates (PEM) to trust besides the public ones that httpx brings.
        private_hosts: Names whose addresses need not be public.

    Raises:
        OSError: The file cannot be read.
    """

    def __init__(self, certificates: Path | None = None, private_hosts: Collection[str] = ()) -> None:
        context = httpx.create_ssl_context(trust_env=False)
        if certificates is not None:
            context.load_verify_locations(certificates)
        self._private_hosts = frozenset(host.lower() for host in private_hosts)
        self._client = httpx.AsyncClient(
            verify=context,
            follow_redirects=False,
            trust_env=False,
            timeout=FETCH_SECONDS,
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=0),
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )

    async def fetch(self, url: str, *, guarded: bool = False) -> Fetched:
        """What is at this URL.

        Args:
            url: Of a JWK set.
            guarded: It is a client's, not the operator's.

        Raises:
            ValueError: Another status than 200, too much, or an address that is not public.
            httpx.HTTPError, OSError, TimeoutError: It cannot be had in time.
        """
        async with asyncio.timeout(FETCH_SECONDS):  # httpx bounds each read, not the whole
            response = await (self._guarded(url) if guarded else self._send(httpx.URL(url)))
            try:
                if response.status_code != httpx.codes.OK:
                    raise ValueError("another status than 200")
                content = bytearray()
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > MAX_BYTES:
                        raise ValueError(f"more than {MAX_BYTES} bytes")
            finally:
                await response.aclose()
        return Fetched(bytes(content), _fresh_seconds(response.headers))

    async def send_form(self, url: str, form: Mapping[str, str], client: tuple[str, str]) -> tuple[int, bytes]:
        """Send a form to a token endpoint that the operator named; status and body.

        Args:
            url: Of the endpoint.
            form: Names and values.
            client: Its ID and secret for HTTP Basic (RFC 6749 §2.3.1); without a secret none is sent.

        Raises:
            ValueError: More than MAX_BYTES.
            httpx.HTTPError, OSError, TimeoutError: It cannot be asked in time.
        """
        quoted = httpx.BasicAuth(*(quote(part, safe="") for part in client)) if client[1] else None
        async with (
            asyncio.timeout(FETCH_SECONDS),
            self._client.stream("POST", url, data=dict(form), auth=quoted) as response,
        ):
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            return response.status_code, bytes(content)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _guarded(self, url: str) -> httpx.Response:
        """The answer of the first address that can be reached, of those that were checked."""
        parsed = httpx.URL(url)
        if parsed.scheme != "https":
            raise ValueError("a URL that is not https")
        found = await asyncio.get_running_loop().getaddrinfo(parsed.host, parsed.port or 443, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:_MAX_ADDRESSES]
        if parsed.host.lower() not in self._private_hosts and not all(map(_is_public, addresses)):
            raise ValueError("an address that is not public")
        for address in addresses[:-1]:
            with suppress(httpx.ConnectError):
                return await self._send(parsed, address)
        return await self._send(parsed, addresses[-1])

    async def _send(self, url: httpx.URL, address: str | None = None) -> httpx.Response:
        """Ask; at an address that was looked up already if one is given. Name and certificate stay the URL's."""
        request = self._client.build_request("GET", url)
        if address is not None:
            request.url = url.copy_with(host=address)
            request.extensions["sni_hostname"] = url.raw_host.decode("ascii")
        return await self._client.send(request, stream=True)


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast


def _fresh_seconds(headers: httpx.Headers) -> float | None:
    """RFC 9111 §4.2.1, as far as a JWK set needs it."""
    said = headers.get("cache-control", "")
    if _NOT_KEPT.search(said):
        return 0.0
    if (found := _MAX_AGE.search(said)) is None:
        return None
    age = headers.get("age", "0")
    return float(max(0, int(found[1]) - (int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0)))


def check_url(url: str) -> None:
    """Refuse what can be no URL of a client's key set.

    Raises:
        ValueError: Says why.
    """
    if len(url) > MAX_URL:
        raise ValueError(f"it is longer than {MAX_URL} characters")
    try:
        parsed = urlsplit(url)
        port_fits = parsed.port != 0
    except ValueError:
        raise ValueError("it cannot be read") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it holds characters that a URL has not")
    if parsed.scheme != "https" or not parsed.hostname or not port_fits:
        raise ValueError("it must start with https:// and name a host")
    if parsed.username is not None or parsed.password is not None or parsed.fragment:
        raise ValueError("it must hold neither credentials nor a fragment")
