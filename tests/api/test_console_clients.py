"""Clients in the console: the same calls, rules and records as over HTTP."""

from __future__ import annotations

import html
import json
import re

import pytest

from tests.support.console import Visitor, new_key
from tests.support.issuer import SigningKey

KEY, OTHER = SigningKey("one", "ES384"), SigningKey("two", "RS384")
SET = json.dumps({"keys": [KEY.jwk]})
PLACE = re.compile(r"/console/clients/(client_[0-9A-Za-z]{12})\?done=registered")


@pytest.fixture
def issuer(site):
    visitor = Visitor(site)
    visitor.key_id, visitor.key = new_key(site, "issuer")
    assert visitor.sign_in(visitor.key).status_code == 303
    yield visitor
    visitor.client.close()


def registered(visitor, **fields):
    given = {"owner": "PACS", "plan": "standard", "days": "365", "role": ["clinician"], "jwks": SET} | fields
    return visitor.post("/console/clients", **given)


def records(site, answer):
    from gateway.audit.search import Filters

    page = site.run(site.app.state.parts.audit.find(Filters(request_id=answer.headers["x-request-id"])))
    return [record.fields["type"] for record in page.records]


def test_a_client_from_its_registration_to_its_end(site, issuer):
    answer = registered(issuer, note="the link")
    assert answer.status_code == 303, answer.text
    assert "client.registered" in records(site, answer)
    [client_id] = PLACE.findall(answer.headers["location"])
    path = f"/console/clients/{client_id}"
    page = issuer.get(f"{path}?done=registered").text
    for said in ("The client is registered", "the link", "<code>one</code>", "<code>predict</code>"):
        assert said in page
    assert client_id in issuer.get("/console/clients").text

    answer = issuer.post(f"{path}/keys", jwks=json.dumps({"keys": [OTHER.jwk]}))
    assert answer.headers["location"] == f"{path}?done=keys"
    assert "<code>two</code>" in issuer.get(path).text
    for deed, said in (("disable", "Disabled</span>"), ("enable", "Active</span>")):
        answer = issuer.post(f"{path}/{deed}")
        assert answer.status_code == 303
        assert "client.changed" in records(site, answer)
        assert said in issuer.get(path).text
    assert issuer.post(f"{path}/remove").headers["location"] == "/console/clients"
    assert client_id not in issuer.get("/console/clients").text
    assert "Removed</span>" in issuer.get(path).text
    assert "Remove now" not in issuer.get(path).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"jwks": "no JSON"}, "A JWK set is a JSON object"),
        ({"jwks": "[" * 5000}, "A JWK set is a JSON object"),
        ({"jwks": ""}, "either as a JWK set or by a URL"),
        ({"jwks": "", "jwks_url": "http://a.example/keys"}, "URL of the JWK set cannot be used"),
        ({"jwks": json.dumps({"keys": [{**KEY.jwk, "d": "AAAA"}]})}, "private or symmetric"),
        ({"plan": "no-such"}, "plan"),
    ],
    ids=["no JSON", "deep", "none", "http", "private", "plan"],
)
def test_a_form_that_does_not_fit_comes_back_filled_in(issuer, fields, said):
    answer = registered(issuer, owner="A <b>PACS", **fields)
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert 'value="A &lt;b&gt;PACS"' in answer.text


def test_keys_that_do_not_fit_change_nothing(issuer):
    [client_id] = PLACE.findall(registered(issuer).headers["location"])
    answer = issuer.post(f"/console/clients/{client_id}/keys", jwks="{}")
    assert answer.status_code == 422
    assert "<code>one</code>" in answer.text


def test_who_may(site, issuer):
    [client_id] = PLACE.findall(registered(issuer).headers["location"])
    assert registered(issuer, scope=["audit:read"]).status_code == 403  # nobody gives what they do not hold
    auditor = Visitor(site)
    auditor.sign_in(new_key(site, "auditor")[1])
    assert auditor.get(f"/console/clients/{client_id}").status_code == 200
    assert "Disable now" not in auditor.get(f"/console/clients/{client_id}").text
    for path in ("/console/clients", f"/console/clients/{client_id}/disable", f"/console/clients/{client_id}/remove"):
        assert auditor.post(path).status_code == 403
    auditor.client.close()
    stranger = Visitor(site)
    stranger.sign_in(new_key(site, "issuer", tenant="st-luke")[1])
    assert stranger.get(f"/console/clients/{client_id}").status_code == 404
    assert stranger.post(f"/console/clients/{client_id}/remove").status_code == 404
    assert client_id not in stranger.get("/console/clients").text
    stranger.client.close()


def test_a_form_without_its_token_changes_nothing(issuer):
    [client_id] = PLACE.findall(registered(issuer).headers["location"])
    assert issuer.post(f"/console/clients/{client_id}/remove", csrf="A" * 43).status_code == 403
    assert client_id in issuer.get("/console/clients").text
