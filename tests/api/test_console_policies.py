"""The policies in force, as the files say them, and what differs from those that were in force before."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from gateway.settings import DeidSettings
from tests.support.console import Visitor, new_key
from tests.support.site import Site, settings_for

SHIPPED = Path(__file__).resolve().parents[2] / "policies"
WORD = "strictest"


@pytest.fixture(scope="module")
def changed(valkey_server, tmp_path_factory):
    """A gateway that was started, stopped, and started with another policy; its file changes once more after that."""
    folder = tmp_path_factory.mktemp("policies")
    shutil.copytree(SHIPPED / "deid", folder / "deid")
    file = folder / "deid" / "basic.yaml"
    settings = settings_for(folder, valkey_server.url, deid=DeidSettings(key="d" * 32, policy=file))
    first = file.read_text()
    Site(settings).start().stop()
    file.write_text(first.replace(WORD, "SECOND <b>", 1))
    site = Site(settings).start()
    site.folder, site.first = folder, first
    yield site
    site.stop()


@pytest.fixture
def auditor(changed):
    visitor = Visitor(changed)
    assert visitor.sign_in(new_key(changed, "auditor")[1]).status_code == 303
    yield visitor
    visitor.client.close()


def test_what_is_in_force_is_listed_with_its_digest(changed, auditor):
    page = auditor.get("/console/policies").text
    for file in (SHIPPED / "access.yaml", SHIPPED / "plans.yaml", changed.folder / "deid" / "basic.yaml"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in page
    assert page.count("1 change<") == 1
    assert page.count("The first start") >= 3


def test_what_differs_from_what_was_in_force_before(auditor):
    page = auditor.get("/console/policies/deid-basic").text
    rows = page.split("<tr ")
    lines = {kind: [row for row in rows if row.startswith(f'class="{kind}"')] for kind in ("in", "out")}
    assert len(lines["in"]) == len(lines["out"]) == 1
    assert "SECOND &lt;b&gt;" in lines["in"][0]
    assert WORD in lines["out"][0]
    assert "/console/audit/record/" in page


def test_one_policy_is_held_against_another_on_offer(changed, auditor):
    digest = hashlib.sha256((changed.folder / "deid" / "research.yaml").read_bytes()).hexdigest()
    page = auditor.get(f"/console/policies/deid-basic?with={digest}").text
    assert "The policy research" in page
    assert page.count('class="in"') > 5


def test_the_rules_are_those_that_the_engine_follows(auditor):
    page = auditor.get("/console/policies/deid-basic?q=Study+Date", hx_request="true").text
    assert "(0008,0020)" in page
    assert "<html" not in page
    assert "(0010,0010)" in auditor.get("/console/policies/deid-basic?q=0010,0010", hx_request="true").text
    assert "No rule fits" in auditor.get("/console/policies/deid-basic?q=nothing+so", hx_request="true").text


def test_a_file_that_changed_since_the_start_is_said_not_to_be_in_force(changed, auditor):
    file = changed.folder / "deid" / "research.yaml"
    was = file.read_text()
    file.write_text(was + "# later\n")
    try:
        assert "The file has changed" in auditor.get("/console/policies").text
        page = auditor.get("/console/policies/deid-research").text
        assert "put into force by the next start" in page
        assert "# later" not in page
    finally:
        file.write_text(was)


def test_other_policies_are_shown_as_they_are(auditor):
    page = auditor.get("/console/policies/access").text
    assert "It has not changed" in page
    assert "grantable:" in page
    assert auditor.get("/console/policies/nothing").status_code == 404
    assert auditor.get("/console/policies/..%2Faccess").status_code == 404


def test_who_may_read_them(changed):
    visitor = Visitor(changed)
    visitor.sign_in(new_key(changed, "issuer")[1])
    assert visitor.get("/console/policies").status_code == 403
    assert visitor.get("/console/policies/access").status_code == 403
    visitor.client.close()
