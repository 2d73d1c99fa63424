"""Callers with a token of an outside issuer, on the whole gateway; the issuer's keys come over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.app import create_app
from gateway.settings import AdmissionSettings, OAuthSettings
from tests.support.issuer import AUDIENCE, ISSUER, JwksServer, SigningKey, claims, serving
from tests.support.problems import assert_problem
from tests.support.site import URL, Site, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.support.valkey import ValkeyServer

SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "access.yaml"
KEY = SigningKey("one", "ES256")


@pytest.fixture(scope="module")
def issuer() -> Iterator[JwksServer]:
    with serving(KEY) as state:
        yield state


def policy_with(issuer: JwksServer, folder: Path, /, **changes: Any) -> AdmissionSettings:
    """The shipped access policy and one issuer."""
    document = yaml.safe_load(SHIPPED.read_text("utf-8"))
    line = {
        "name": "st-mary-login",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": issuer.url,
        "algorithms": ["ES256"],
        "tenant": {"claim": "org", "values": {"St. Mary": "st-mary", "St. Anne": "st-anne"}},
        "roles": {"claim": "groups", "values": {"radiology": "clinician", "access": "issuer"}},
        "plan": "standard",
    }
    document["issuers"] = [line | changes]
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return AdmissionSettings(key_pepper="p" * 32, access_policy=path)


@pytest.fixture(scope="module")
def served(issuer: JwksServer, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tokens")
    site = Site(settings_for(folder, valkey_server.url, admission=policy_with(issuer, folder))).start()
    yield site
    site.stop()


@pytest.fixture
def site(served: Site) -> Site:
    served.listen()
    return served


def token(**changes: Any) -> str:
    return KEY.sign(claims(**{"org": "St. Mary", "groups": ["radiology"]} | changes))


def models(site: Site, credential: str) -> httpx.Response:
    with site.client(credential) as client:
        return client.get("/v1/models")


def test_a_good_token_comes_in_with_the_limits_of_its_plan(site: Site) -> None:
    answer = models(site, token())
    assert answer.status_code == 200, answer.text
    assert "RateLimit" in answer.headers


def test_a_token_without_the_scope_is_told_which(site: Site) -> None:
    refused = models(site, token(groups=[]))
    assert_problem(refused, 403)
    assert refused.json()["scope"] == "predict"


@pytest.mark.parametrize(
    "bad",
    [
        {"aud": "another"},
        {"exp": 1},
        {"iss": "https://elsewhere.example"},
        {"org": "nobody"},
        {"jti": None},
    ],
    ids=str,
)
def test_a_bad_token_gets_the_one_answer_that_a_bad_key_gets(site: Site, bad: dict[str, Any]) -> None:
    refused, of_key = models(site, token(**bad)), models(site, "cdn_nothing")
    assert_problem(refused, 401)
    assert {**refused.json(), "instance": ""} == {**of_key.json(), "instance": ""}


def test_neither_the_token_nor_its_subject_is_logged(site: Site) -> None:
    text = token(sub="anna.canary@st-mary.example")
    answer = models(site, text)
    assert site.lines_of(answer)
    log = site.log.getvalue()
    assert "anna.canary" not in log
    assert text.split(".")[2] not in log


def test_a_revoked_token_is_refused_and_that_is_on_record(site: Site) -> None:
    text = token(jti="ended-early")
    assert models(site, text).status_code == 200
    with site.client(site.key()) as admin:
        ended = admin.post("/v1/admin/tokens/revoke", json={"issuer": "st-mary-login", "jti": "ended-early"})
        assert ended.status_code == 204, ended.text
        page = admin.get("/v1/admin/audit", params={"request_id": ended.headers["x-request-id"]})
        assert [record["type"] for record in page.json()["records"]] == ["token.revoked", "request.started"]
        assert "ended-early" not in page.text
    assert_problem(models(site, text), 401)
    assert models(site, token(jti="another")).status_code == 200


def test_an_issuer_that_serves_another_tenant_does_not_exist(site: Site) -> None:
    with site.client(site.key("keys:write", tenant="elsewhere")) as stranger:
        refused = stranger.post("/v1/admin/tokens/revoke", json={"issuer": "st-mary-login", "jti": "x"})
    assert_problem(refused, 404)


def test_a_bearer_that_may_issue_keys_issues_them_for_its_own_tenant(site: Site) -> None:
    with site.client(token(groups=["access"], org="St. Anne")) as client:
        issued = client.post("/v1/admin/keys", json={"owner": "PACS", "plan": "standard", "roles": ["clinician"]})
    assert issued.status_code == 201, issued.text
    assert issued.json()["key"]["tenant"] == "st-anne"
    assert issued.json()["key"]["created_by"].startswith("sub_")


def test_a_plan_that_is_none_stops_the_start(issuer: JwksServer, valkey: ValkeyServer, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, valkey.url, admission=policy_with(issuer, tmp_path, plan="gone"))
    with pytest.raises(ValueError, match="st-mary-login: no such plan"):
        create_app(settings)


@pytest.mark.parametrize("taken", [{"name": "cordon"}, {"issuer": URL}], ids=str)
def test_an_issuer_that_would_be_this_gateway_stops_the_start(
    issuer: JwksServer, valkey: ValkeyServer, tmp_path: Path, taken: dict[str, str]
) -> None:
    settings = settings_for(tmp_path, valkey.url, admission=policy_with(issuer, tmp_path, **taken))
    with pytest.raises(ValueError, match="that is this gateway"):
        create_app(settings)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_is_none_stops_the_start(
    valkey: ValkeyServer, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = settings_for(tmp_path, valkey.url, oauth=OAuthSettings(ca_certificates=str(file)))
    with pytest.raises(ValueError, match="OAUTH_CA_CERTIFICATES"):
        create_app(settings)
