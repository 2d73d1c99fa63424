"""The one route that reads a stranger's body, at its door: little of it, not for long, and not from who guesses."""

from __future__ import annotations

import itertools
import socket
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx
import pytest
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from jose import jwk
from joserfc.jwk import ECKey

from tests.support.clients import KEY, new_client
from tests.support.issuer import assertion
from tests.support.problems import assert_problem
from tests.support.site import URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ADDRESSES = itertools.cycle(range(1, 255))


@pytest.fixture(scope="module")
def client_id(running_site: Site) -> str:
    """A client, registered without HTTP."""
    new = new_client(plan="unlimited-internal", jwks={"keys": [KEY.jwk]})
    return str(running_site.run(running_site.app.state.parts.clients.register(new)).client_id)


def form(client_id: str) -> dict[str, str]:
    signed = assertion(KEY, client_id, aud=f"{URL}/oauth/token")
    return {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": signed}


def head(length: int) -> bytes:
    kind = "application/x-www-form-urlencoded"
    return f"POST /oauth/token HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.fixture
def address() -> str:
    """One that no other test fails from."""
    return f"127.0.2.{next(ADDRESSES)}"


def test_an_assertion_of_another_hand_is_taken(site: Site, client_id: str) -> None:
    """Authlib's, told that SMART wants an end within five minutes: its own default is an hour."""
    key = ECKey.import_key(jwk.construct(KEY.private, KEY.algorithm).to_dict())
    signer = SimpleNamespace(client_id=client_id, client_secret=key)
    for claims, status in (({"exp": int(time.time()) + 240}, 200), ({}, 401)):
        signs = PrivateKeyJWT(claims=claims, headers={"kid": KEY.key_id}, alg=KEY.algorithm)
        made = signs.sign(signer, f"{URL}/oauth/token")
        with site.client() as client:
            answer = client.post("/oauth/token", data=form(client_id) | {"client_assertion": made})
        assert answer.status_code == status, answer.text


def connect(site: Site, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=10, source_address=(address, 0))


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(65536).split(b" ", 2)[1])


@pytest.fixture
def same_address(site: Site, address: str) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", transport=transport, timeout=30) as client:
        yield client


def test_an_address_that_guesses_is_refused_from_the_head_alone(
    site: Site, address: str, same_address: httpx.Client
) -> None:
    bad = form("client_000000000000")
    while same_address.post("/oauth/token", data=bad).status_code == 401:
        pass
    with connect(site, address) as connection:
        connection.sendall(head(5000))  # and no body, ever
        assert status_of(connection) == 429


@pytest.mark.parametrize("length", [16 * 2**10 + 1, 2**40])
def test_a_form_that_says_it_is_too_large_is_refused_from_the_head_alone(site: Site, address: str, length: int) -> None:
    with connect(site, address) as connection:
        connection.sendall(head(length))
        assert status_of(connection) == 413


def test_a_form_that_turns_out_too_large_is_read_no_further(site: Site, same_address: httpx.Client) -> None:
    endless = (b"a" * 4096 for _ in range(1000))
    refused = same_address.post(
        "/oauth/token", content=endless, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert_problem(refused, 413)
    [line] = [line for line in site.lines_of(refused) if line["event"] == "http.answered"]
    assert line["bytes_in"] < 200_000  # what was in the server's hands when the limit was passed


def test_a_slow_form_is_cut_off(site: Site, address: str) -> None:
    with connect(site, address) as connection:
        connection.sendall(head(5000) + b"grant_type=")
        assert status_of(connection) == 408


def test_slow_strangers_do_not_keep_a_client_from_its_token(site: Site, client_id: str, address: str) -> None:
    """More of them than token requests are worked on at once: a turn is taken when the form is in."""
    with ExitStack() as strangers:
        for _ in range(100):
            strangers.enter_context(connect(site, address)).sendall(head(5000) + b"grant_type=")
        with site.client() as client:
            answer = client.post("/oauth/token", data=form(client_id))
    assert answer.status_code == 200, answer.text
