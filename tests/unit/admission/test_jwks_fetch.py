"""Key sets of clients, over real TLS: the URL is a tenant's, so it must not lead the gateway where it should not go."""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from gateway.admission.jwks import REFRESH_SECONDS, RETRY_SECONDS, RemoteKeys
from gateway.admission.jwks_fetch import FETCH_SECONDS, KeySetFetcher, _is_public, check_url
from gateway.errors import StoreUnavailable
from tests.support.issuer import JwksServer, SigningKey, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ONE, TWO = SigningKey("one", "ES384"), SigningKey("two", "ES384")


class Authority:
    """A certificate authority of this test, and servers of names that it vouches for."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.certificate = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.certificate))

    def server(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[JwksServer]:
    with serving(ONE, tls=authority.server("localhost")) as state:
        yield state


@pytest.fixture
async def fetcher(authority: Authority) -> AsyncIterator[KeySetFetcher]:
    fetcher = KeySetFetcher(authority.certificate, ["localhost"])
    yield fetcher
    await fetcher.close()


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def keys_of(server: JwksServer, fetcher: KeySetFetcher, clock: Clock) -> RemoteKeys:
    return RemoteKeys(server.url, ("ES384",), fetcher, of_client=True, now=clock)


async def test_a_set_whose_host_the_operator_lists_is_fetched(server: JwksServer, fetcher: KeySetFetcher) -> None:
    fetched = await fetcher.fetch(server.url, guarded=True)
    assert json.loads(fetched.content)["keys"][0]["kid"] == "one"
    assert fetched.fresh_seconds is None
    assert f"https://{server.host}/jwks.json" == server.url


async def test_a_private_address_is_not_called(server: JwksServer, authority: Authority) -> None:
    fetcher = KeySetFetcher(authority.certificate)
    with pytest.raises(ValueError, match="not public"):
        await fetcher.fetch(server.url, guarded=True)
    assert server.asked == 0
    await fetcher.close()


async def test_a_url_without_tls_is_not_called(fetcher: KeySetFetcher) -> None:
    with serving(ONE) as plain:
        with pytest.raises(ValueError, match="https"):
            await fetcher.fetch(plain.url, guarded=True)
        assert plain.asked == 0


async def test_the_certificate_must_be_the_names(authority: Authority, fetcher: KeySetFetcher) -> None:
    """The connection goes to an address; the name is checked all the same."""
    with serving(ONE, tls=authority.server("other.example")) as other, pytest.raises(httpx.ConnectError):
        await fetcher.fetch(other.url, guarded=True)


async def test_an_authority_that_nobody_named_is_not_trusted(server: JwksServer) -> None:
    fetcher = KeySetFetcher(None, ["localhost"])
    with pytest.raises(httpx.ConnectError):
        await fetcher.fetch(server.url, guarded=True)
    assert server.asked == 0
    await fetcher.close()


async def test_ten_megabytes_are_not_read(server: JwksServer, fetcher: KeySetFetcher) -> None:
    server.body = b" " * 10 * 2**20
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        await fetcher.fetch(server.url, guarded=True)


async def test_a_redirect_is_not_followed(server: JwksServer, fetcher: KeySetFetcher) -> None:
    with serving(ONE) as elsewhere:
        server.status, server.headers = 302, {"Location": elsewhere.url}
        with pytest.raises(ValueError, match="another status"):
            await fetcher.fetch(server.url, guarded=True)
        assert elsewhere.asked == 0


async def test_a_slow_server_costs_no_more_than_the_fetch_time(
    server: JwksServer, fetcher: KeySetFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admission.jwks_fetch.FETCH_SECONDS", 0.2)
    server.delay = 1.0
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await fetcher.fetch(server.url, guarded=True)
    assert time.monotonic() - began < FETCH_SECONDS


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("max-age=120", 120),
        ("public, MAX-AGE=120", 120),
        ("max-age=120, no-cache", 0),
        ("no-store", 0),
        ("private", None),
        ("max-age=soon", None),
        ("", None),
    ],
)
async def test_what_cache_control_says(
    server: JwksServer, fetcher: KeySetFetcher, said: str, seconds: float | None
) -> None:
    server.headers = {"Cache-Control": said}
    assert (await fetcher.fetch(server.url, guarded=True)).fresh_seconds == seconds


async def test_the_age_counts(server: JwksServer, fetcher: KeySetFetcher) -> None:
    server.headers = {"Cache-Control": "max-age=120", "Age": "100"}
    assert (await fetcher.fetch(server.url, guarded=True)).fresh_seconds == 20


async def test_a_clients_set_is_kept_no_longer_than_it_says(server: JwksServer, fetcher: KeySetFetcher) -> None:
    clock = Clock()
    keys = keys_of(server, fetcher, clock)
    server.headers = {"Cache-Control": "max-age=120"}
    assert await keys.find("one") is not None
    clock.seconds = 119
    assert await keys.find("one") is not None
    assert server.asked == 1
    server.offer(TWO)
    clock.seconds = 121
    assert await keys.find("one") is None
    assert await keys.find("two") is not None
    server.status = 500
    clock.seconds = 300
    with pytest.raises(StoreUnavailable):
        await keys.find("two")


async def test_a_set_that_is_not_to_be_kept_is_not_fetched_for_every_request(
    server: JwksServer, fetcher: KeySetFetcher
) -> None:
    clock = Clock()
    keys = keys_of(server, fetcher, clock)
    server.headers = {"Cache-Control": "no-store"}
    for _ in range(100):
        assert await keys.find("one") is not None
    assert server.asked == 1
    clock.seconds = RETRY_SECONDS + 1
    await keys.find("one")
    assert server.asked == 2


async def test_a_set_that_says_nothing_is_kept_as_an_issuers_is(server: JwksServer, fetcher: KeySetFetcher) -> None:
    clock = Clock()
    keys = keys_of(server, fetcher, clock)
    await keys.find("one")
    clock.seconds = REFRESH_SECONDS - 1
    await keys.find("one")
    assert server.asked == 1
    server.status = 500
    clock.seconds = REFRESH_SECONDS + RETRY_SECONDS
    assert await keys.find("one") is not None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:0a00:0001::1", "ff02::1", "::",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not _is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_that_are(address: str) -> None:
    assert _is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://pacs.example/keys", "file:///etc/passwd", "https://", "https:///keys", "https://u:p@pacs.example/keys",
        "https://pacs.example/keys#a", "https://pacs.example/a b", "https://pacs.example/\n", "https://pacs.example/ü",
        "https://pacs.example:0/keys", "https://pacs.example:99999/keys", "https://[::1", "https://x/" + "k" * 1000, "",
    ],
)  # fmt: skip
def test_urls_that_are_not_taken(url: str) -> None:
    with pytest.raises(ValueError, match="it "):
        check_url(url)


@pytest.mark.parametrize("url", ["https://pacs.example/keys", "https://pacs.example:8443/keys?tenant=1"])
def test_urls_that_are(url: str) -> None:
    check_url(url)
