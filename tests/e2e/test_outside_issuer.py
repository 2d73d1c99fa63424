"""Over HTTPS: a real OAuth server (Authlib's, a process of its own), and a client whose keys are at a URL."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jose import jwt

from gateway.admission.jwks import LAST_GOOD_SECONDS, REFRESH_SECONDS, RETRY_SECONDS
from gateway.settings import AdmissionSettings, OAuthSettings
from tests.support.clients import new_client
from tests.support.issuer import SigningKey, assertion, serving
from tests.support.outside import ONE, TWO, Issuer
from tests.support.problems import assert_problem
from tests.support.site import SHIPPED, URL, Site, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    running = Issuer(tmp_path_factory.mktemp("issuer"))
    yield running
    running.stop()


class Clock:
    """Of the gateway's key sets: hours pass at once."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def served(
    issuer: Issuer, clock: Clock, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("served")
    document: dict[str, Any] = yaml.safe_load(SHIPPED.read_text("utf-8"))
    document["issuers"] = [
        {
            "name": "st-mary-login",
            "issuer": issuer.discovered["issuer"],
            "audience": "https://cordon.example",
            "jwks": issuer.discovered["jwks_uri"],
            "algorithms": ["ES256"],
            "types": ["at+jwt"],
            "tenant": {"claim": "org", "values": {"St. Mary": "st-mary"}},
            "scopes": {"claim": "scope", "values": {"cordon/predict": "predict"}},
            "plan": "standard",
        }
    ]
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    settings = settings_for(
        folder,
        valkey_server.url,
        admission=AdmissionSettings(key_pepper="p" * 32, access_policy=path),
        oauth=OAuthSettings(
            issuer=URL, signing_key="t" * 32, ca_certificates=str(issuer.certificate), private_hosts="localhost"
        ),
    )
    running = Site(settings).start()
    scheme = running.app.state.services.tokens.scheme
    scheme._issuers[issuer.discovered["issuer"]]._keys._now = clock
    yield running
    running.stop()


@pytest.fixture
def site(served: Site, issuer: Issuer, clock: Clock) -> Site:
    """The gateway, which will look at the issuer's one key when it next needs to."""
    served.listen()
    issuer.rotate(ONE)
    clock.ahead += REFRESH_SECONDS + 1
    return served


def models(site: Site, token: str) -> httpx.Response:
    with site.client(token) as client:
        return client.get("/v1/models")


def test_a_token_from_its_issue_over_a_rotation_to_its_end(site: Site, issuer: Issuer, clock: Clock) -> None:
    first = issuer.token()
    assert jwt.get_unverified_header(first)["typ"] == "at+jwt"
    answer = models(site, first)
    assert answer.status_code == 200, answer.text
    assert "RateLimit" in answer.headers

    # A token for another service is none for this one.
    assert_problem(models(site, issuer.token("other/read")), 401)

    # The issuer rotates: both keys are published, the new one signs. No restart; the pause between fetches is over.
    issuer.rotate(TWO, ONE)
    second = issuer.token()
    assert jwt.get_unverified_header(second)["kid"] == "two"
    clock.ahead += RETRY_SECONDS + 1
    assert models(site, second).status_code == 200
    assert models(site, first).status_code == 200

    # The old key is taken away: its tokens end when the set is next read.
    issuer.rotate(TWO)
    clock.ahead += REFRESH_SECONDS + 1
    assert_problem(models(site, first), 401)
    assert models(site, second).status_code == 200


def test_while_the_issuer_is_away_its_last_good_keys_hold_for_a_day(site: Site, issuer: Issuer, clock: Clock) -> None:
    token = issuer.token()
    assert models(site, token).status_code == 200
    document = issuer.folder / "keys.json"
    document.unlink()  # it answers 500
    clock.ahead += LAST_GOOD_SECONDS - 60
    assert models(site, token).status_code == 200
    clock.ahead += 120
    refused = models(site, token)
    assert_problem(refused, 503)
    assert refused.headers["retry-after"]
    issuer.rotate(ONE)
    clock.ahead += RETRY_SECONDS + 1
    assert models(site, token).status_code == 200


def ask(site: Site, key: SigningKey, client_id: str, **header: str) -> httpx.Response:
    """For a token, with an assertion under this key."""
    fields = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion(key, client_id, header=header, aud=f"{URL}/oauth/token"),
    }
    with site.client() as client:
        return client.post("/oauth/token", data=fields)


def test_a_client_whose_keys_are_at_a_url_rotates_them_by_itself(site: Site, issuer: Issuer) -> None:
    first, second = SigningKey("first", "RS384"), SigningKey("second", "ES384")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.authority.issue_cert("localhost").configure_cert(tls)
    with serving(first, tls=tls) as published:
        new = new_client(jwks=None, jwks_url=published.url)
        client_id = site.run(site.app.state.parts.clients.register(new)).client_id
        given = ask(site, first, client_id)
        assert given.status_code == 200, given.text
        assert models(site, given.json()["access_token"]).status_code == 200
        assert ask(site, first, client_id, jku=published.url).status_code == 200
        assert ask(site, first, client_id, jku="https://evil.example/keys").status_code == 401
        assert published.asked == 1

        clients = site.app.state.services.tokens.oauth.assertions._clients
        clock = Clock()
        clients._sets[client_id, published.url]._now = clock
        published.offer(second)
        clock.ahead = RETRY_SECONDS + 1
        assert ask(site, second, client_id).status_code == 200
        assert ask(site, first, client_id).status_code == 401

        published.status = 500
        clock.ahead += LAST_GOOD_SECONDS + RETRY_SECONDS
        away = ask(site, second, client_id)
        assert_problem(away, 503)
        assert away.headers["retry-after"]
