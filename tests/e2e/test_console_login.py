"""Signing in to the console at an outside issuer: a real OpenID Connect server (Authlib's), by code with PKCE."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from playwright.sync_api import expect

from gateway.admission.login import SECONDS
from gateway.console.sign_in import STARTED
from gateway.settings import AdmissionSettings, ConsoleSettings, OAuthSettings
from tests.support.browser import Watch, running_browser, violations
from tests.support.console import Visitor
from tests.support.oidc_server import CONSOLE, CONSOLE_SECRET
from tests.support.outside import Issuer
from tests.support.site import SHIPPED, URL, Site, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.valkey import ValkeyServer

ADA = {"sub": "ada@house.example", "groups": ["radiology-it"], "org": "St. Mary"}
BEGIN = "/console/login/with/house"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    running = Issuer(tmp_path_factory.mktemp("issuer"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def site(issuer: Issuer, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("login")
    document: dict[str, Any] = yaml.safe_load(SHIPPED.read_text("utf-8"))
    document["issuers"] = [
        {
            "name": "house",
            "issuer": issuer.discovered["issuer"],
            "audience": "https://cordon.example",
            "jwks": issuer.discovered["jwks_uri"],
            "algorithms": ["ES256"],
            "tenant": {"claim": "org", "values": {"St. Mary": "st-mary"}},
            "roles": {"claim": "groups", "values": {"radiology-it": "auditor", "ward": "clinician"}},
            "plan": "admin",
            "login": {
                "client_id": CONSOLE,
                "authorize": issuer.discovered["authorization_endpoint"],
                "token": issuer.discovered["token_endpoint"],
            },
        }
    ]
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    settings = settings_for(
        folder,
        valkey_server.url,
        admission=AdmissionSettings(key_pepper="p" * 32, access_policy=path),
        oauth=OAuthSettings(issuer=URL, signing_key="t" * 32, ca_certificates=str(issuer.certificate)),
        console=ConsoleSettings(url="http://127.0.0.1:1", login_secret=CONSOLE_SECRET),
    )
    running = Site(settings).start()
    logins = running.app.state.parts.logins  # the port is not known before the start
    logins._settings = settings.console.model_copy(update={"url": f"http://127.0.0.1:{running.port}"})
    yield running
    running.stop()


class Traveller:
    """A browser without a window, at the gateway and at the issuer."""

    def __init__(self, site: Site, issuer: Issuer) -> None:
        self.client: httpx.Client = site.client()
        self.issuer = issuer
        self.sealed = ""

    def begin(self, onward: str = "/console/audit") -> str:
        """Where the gateway sends one."""
        answer = self.client.get(BEGIN, params={"next": onward})
        assert answer.status_code == 303, answer.text
        [line] = answer.headers.get_list("set-cookie")
        name, _, rest = line.partition("=")
        assert name == STARTED
        self.sealed, attributes = rest.split(";")[0], {each.strip() for each in rest.split(";")[1:]}
        assert attributes == {f"Max-Age={SECONDS}", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
        return answer.headers["location"]

    def sign_in(self, address: str) -> str:
        """At the issuer; where it sends one back to."""
        answer = self.issuer.http.get(address)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def back(self, address: str, **changes: str) -> httpx.Response:
        """At the gateway again."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()} | changes
        self.client.cookies.clear()
        head = {"Cookie": f"{STARTED}={self.sealed}"} if self.sealed else {}
        return self.client.get("/console/login/back", params=query, headers=head)


@pytest.fixture
def traveller(site: Site, issuer: Issuer) -> Iterator[Traveller]:
    site.listen()
    issuer.let_in(**ADA)
    traveller = Traveller(site, issuer)
    yield traveller
    traveller.client.close()


def session_of(answer: httpx.Response) -> str:
    """What the session's cookie holds; empty if none was set."""
    lines = [line for line in answer.headers.get_list("set-cookie") if not line.startswith(STARTED)]
    return lines[0].partition("=")[2].split(";")[0] if lines else ""


def test_someone_of_the_house_comes_in_with_what_the_policy_maps(site: Site, traveller: Traveller) -> None:
    address = traveller.begin()
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert (asked["code_challenge_method"], asked["response_type"], asked["scope"]) == ("S256", "code", "openid")
    assert asked["redirect_uri"] == f"http://127.0.0.1:{site.port}/console/login/back"
    answer = traveller.back(traveller.sign_in(address))
    assert answer.status_code == 200, answer.text
    assert 'url=/console/audit"' in answer.text
    visitor = Visitor(site)
    visitor.cookie = session_of(answer)
    page = visitor.get("/console/session").text
    assert ADA["sub"] not in page  # a name of theirs is nowhere
    assert "sub_" in page
    assert "<code>audit:read</code>" in page
    assert visitor.get("/console/switches").status_code == 403
    assert visitor.get("/console/audit").status_code == 200
    visitor.client.close()
    assert ADA["sub"] not in site.log.getvalue()


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"groups": ["ward"]}, 403),
        ({"groups": ["strangers"]}, 403),
        ({"org": "St. Luke"}, 401),
    ],
    ids=["no scope for the console", "no role", "no tenant"],
)
def test_who_is_nobody_here_stays_outside(traveller: Traveller, claims: dict[str, Any], status: int) -> None:
    traveller.issuer.let_in(**ADA | claims)
    answer = traveller.back(traveller.sign_in(traveller.begin()))
    assert (answer.status_code, session_of(answer)) == (status, "")
    assert "Sign in with house" in answer.text


def test_an_answer_to_another_question_is_none(site: Site, traveller: Traveller) -> None:
    back = traveller.sign_in(traveller.begin())
    assert traveller.back(back, state="x" * 43).status_code == 401
    assert traveller.back(back, iss="https://other.example").status_code == 401
    assert traveller.back(back, code="").status_code == 401
    mine, traveller.sealed = traveller.sealed, ""
    assert traveller.back(back).status_code == 401  # began in another browser
    text, _, mark = mine.partition(".")
    traveller.sealed = f"{text[:-2]}AA.{mark}"
    assert traveller.back(back).status_code == 401
    stranger = Traveller(site, traveller.issuer)
    stranger.begin()
    traveller.sealed = stranger.sealed
    assert traveller.back(back).status_code == 401  # someone else's code, brought by a link
    stranger.client.close()
    traveller.sealed = mine
    assert traveller.back(back).status_code == 200
    assert traveller.back(back).status_code == 401  # a code is good once


def test_an_id_token_for_another_question_lets_nobody_in(site: Site, traveller: Traveller) -> None:
    first = traveller.sign_in(traveller.begin())
    verifier = site.app.state.parts.logins._open("browser", traveller.sealed)
    logins = site.app.state.parts.logins
    for change in ({"nonce": "n" * 43}, {"verifier": "v" * 43}, {"until": 0}):
        traveller.sealed = logins._seal("browser", verifier | change)
        assert traveller.back(first).status_code == 401, change
        first = traveller.sign_in(traveller.begin())
        verifier = logins._open("browser", traveller.sealed)


def test_only_a_path_of_the_console_is_gone_on_to(traveller: Traveller) -> None:
    answer = traveller.back(traveller.sign_in(traveller.begin("//evil.example/")))
    assert 'url=/console"' in answer.text


def test_nobody_is_sent_to_an_issuer_that_is_not_named(traveller: Traveller) -> None:
    assert traveller.client.get("/console/login/with/nowhere").status_code == 404


def test_a_session_ends_when_the_person_is_switched_off(site: Site, traveller: Traveller) -> None:
    visitor = Visitor(site)
    visitor.cookie = session_of(traveller.back(traveller.sign_in(traveller.begin())))
    [key_id] = set(re.findall(r"<code>(sub_[a-z2-7]+)</code>", visitor.get("/console/session").text))
    switches = site.app.state.parts.switches
    site.run(switches.turn_off("key", key_id, reason="test", note="", by="cli"))
    try:
        assert visitor.get("/console/audit").status_code == 403
    finally:
        site.run(switches.turn_on("key", key_id))
    visitor.client.close()


def test_what_redis_holds_cannot_be_made_more_of(site: Site, traveller: Traveller) -> None:
    logins = site.app.state.parts.logins
    visitor = Visitor(site)
    visitor.cookie = session_of(traveller.back(traveller.sign_in(traveller.begin())))
    session = site.run(site.app.state.parts.sessions.find(visitor.cookie))
    held = logins._open(session.key_id, session.marks[0])
    assert held["roles"] == ["auditor"]
    assert logins._open("sub_another", session.marks[0]) is None  # of one person alone
    opened = site.run(site.app.state.parts.sessions.open("login", "sub_forged", ("e30.00",), "Browser"))
    visitor.cookie = opened.secret
    assert visitor.get("/console").status_code == 401
    visitor.client.close()


@pytest.mark.slow
def test_in_a_browser(site: Site, issuer: Issuer) -> None:
    issuer.let_in(**ADA)
    with running_browser() as browser:
        origin = f"http://127.0.0.1:{site.port}"
        context = browser.new_context(base_url=origin, ignore_https_errors=True, reduced_motion="reduce")
        page = context.new_page()
        page.goto("/console/audit")
        assert violations(page) == []
        page.get_by_role("link", name="Sign in with house").click()
        expect(page.get_by_role("heading", name="Audit")).to_be_visible()  # where one wanted to go
        assert page.url == f"{origin}/console/audit"
        assert [cookie["sameSite"] for cookie in context.cookies(origin)] == ["Strict"]
        watch = Watch(page, origin)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert watch.faults == []
        context.close()
