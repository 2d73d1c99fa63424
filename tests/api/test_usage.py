"""Who used how much: counted for each key, seen by the key itself and by those of its tenant who may."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from gateway.admission.usage_tables import MEASURES
from tests.support.problems import assert_problem
from tests.support.processes import within

if TYPE_CHECKING:
    import httpx

    from tests.support.site import Site


TODAY = datetime.now(UTC).date()


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 40).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """One that no other test uses."""
    return f"u{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def reader(site: Site, tenant: str):
    with site.client(site.key("usage:read", tenant=tenant)) as client:
        yield client


def predict(client: httpx.Client, body: bytes | None = None, **params: str) -> httpx.Response:
    return client.post("/v1/predict", content=body or png(), headers={"content-type": "image/png"}, params=params)


def used(site: Site, reader: httpx.Client, key_id: str, requests: int) -> dict[str, Any]:
    """The key's row once so many requests are in it."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        page = reader.get("/v1/admin/usage", params={"key": key_id}).json()
        found[:] = page["usage"]
        return bool(found) and found[0]["requests"] >= requests

    assert within(10, there), found
    return found[0]


def id_of(client: httpx.Client) -> str:
    return str(client.get("/v1/usage").json()["key_id"])


def test_each_ending_is_told_from_the_others(site: Site, reader: httpx.Client, tenant: str) -> None:
    with site.client(site.key("predict", tenant=tenant, plan="trial")) as client:
        key_id = id_of(client)  # 1: of the 3 in the plan's burst
        assert predict(client).status_code == 200
        assert_problem(client.get("/v1/admin/keys"), 403)
        refused = [predict(client) for _ in range(4)]
        unread = [answer for answer in refused if answer.status_code == 200]
        limited = [answer for answer in refused if answer.status_code == 429]
        assert limited
    row = used(site, reader, key_id, 7)
    assert row["requests"] == 7
    assert row["denials"] == {"credential": 0, "scope": 1, "switch": 0, "limit": len(limited)}
    assert row["outcomes"] == {"succeeded": 2 + len(unread), "caller_errors": 0, "server_errors": 0}
    assert row["frames"] == 1 + len(unread)
    assert row["bytes_in"] == len(png()) * (1 + len(unread))
    latency = row["latency"]
    assert latency["count"] == 2 + len(unread) == sum(bucket["count"] for bucket in latency["histogram"])
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
    assert row["day"] in {str(TODAY), str(TODAY + timedelta(days=1))}


def test_errors_and_switches_are_told_apart(site: Site, reader: httpx.Client, tenant: str) -> None:
    switches = site.app.state.parts.switches
    with site.client(site.key("predict", tenant=tenant)) as client:
        key_id = id_of(client)
        assert_problem(predict(client, b"no image"), 415)
        site.model.state = "down"
        assert_problem(predict(client), 503)
        site.model.state = "up"
        site.run(switches.turn_off("key", key_id, reason="test", by="cli"))
        try:
            assert_problem(client.get("/v1/models"), 403, "suspended")
        finally:
            site.run(switches.turn_on("key", key_id))
    row = used(site, reader, key_id, 4)
    assert row["denials"] == {"credential": 0, "scope": 0, "switch": 1, "limit": 0}
    assert row["outcomes"] == {"succeeded": 1, "caller_errors": 1, "server_errors": 1}
    assert row["frames"] == 0


def test_strangers_are_counted_together_and_those_who_ask_for_health_are_not(site: Site) -> None:
    async def counted() -> tuple[int, int]:
        await site.app.state.services.usage.flush()
        from gateway.admission.usage_store import Asked

        asked = Asked(TODAY - timedelta(days=1), TODAY + timedelta(days=1), "", "anonymous")
        rows = await site.app.state.parts.usage.find(asked, None, 10)
        return sum(row.denied_credential for row in rows), sum(row.requests for row in rows)

    denied, requests = site.run(counted())
    with site.client() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"X-API-Key": "cdn_wrong"}).status_code == 401
        assert client.get("/v1/nowhere").status_code == 404
    assert within(10, lambda: site.run(counted()) == (denied + 2, requests + 3))


def test_a_caller_sees_its_own_usage_and_limits(site: Site, tenant: str) -> None:
    with site.client(site.key("deidentify", tenant=tenant, plan="trial")) as client:
        own = client.get("/v1/usage").json()
        assert own["limits"]["plan"] == "trial"
        assert {"name": "burst", "limit": 3, "seconds": 1.0} in own["limits"]["windows"]
        assert within(10, lambda: client.get("/v1/usage").json().get("usage"))
        rows = client.get("/v1/usage")
    assert rows.status_code in {200, 429}
    if rows.status_code == 200:
        assert {row["key_id"] for row in rows.json()["usage"]} == {own["key_id"]}


def test_the_limits_of_a_key_of_its_own_are_told(site: Site, tenant: str) -> None:
    with site.client(site.key("keys:write", "predict", tenant=tenant)) as issuer:
        wanted = {"owner": "PACS", "plan": "trial", "scopes": ["predict"], "limits": {"burst": 2}}
        issued = issuer.post("/v1/admin/keys", json=wanted)
    assert issued.status_code == 201, issued.text
    with site.client(issued.json()["secret"]) as client:
        windows = client.get("/v1/usage").json()["limits"]["windows"]
    assert {"name": "burst", "limit": 2, "seconds": 1.0} in windows


def test_another_tenants_usage_is_not_seen(site: Site, reader: httpx.Client, caller: httpx.Client) -> None:
    other = id_of(caller)
    assert reader.get("/v1/admin/usage", params={"key": other}).json() == {"usage": [], "cursor": None}
    assert other not in reader.get("/v1/admin/usage", params={"format": "csv"}).text


@pytest.fixture
def rows(site: Site, tenant: str) -> list[tuple[str, str]]:
    """Twelve rows: three days of four keys."""
    places = [(TODAY - timedelta(days), f"key_{n}") for days in (2, 3, 40) for n in range(4)]
    written = [(day, tenant, key_id, *([1] * len(MEASURES))) for day, key_id in places]
    site.run(site.app.state.parts.usage.add(f"test {tenant}", 1, written))
    return [(str(day), key_id) for day, key_id in sorted(places, key=lambda place: (-place[0].toordinal(), place[1]))]


def test_pages_lead_to_all_rows(reader: httpx.Client, rows: list[tuple[str, str]]) -> None:
    params = {"from": str(TODAY - timedelta(days=50)), "to": str(TODAY - timedelta(days=1)), "limit": "5"}
    seen, pages = [], 0
    while True:
        page = reader.get("/v1/admin/usage", params=params).json()
        seen += [(row["day"], row["key_id"]) for row in page["usage"]]
        pages += 1
        if page["cursor"] is None:
            break
        params["cursor"] = page["cursor"]
    assert seen == rows
    assert pages == 3


def test_days_are_of_the_month_unless_others_are_asked_for(reader: httpx.Client, rows: list[tuple[str, str]]) -> None:
    page = reader.get("/v1/admin/usage", params={"limit": "1000"}).json()
    assert {row["day"] for row in page["usage"]} >= {str(TODAY - timedelta(days=2)), str(TODAY - timedelta(days=3))}
    assert str(TODAY - timedelta(days=40)) not in {row["day"] for row in page["usage"]}


@pytest.mark.parametrize(
    "ask", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}], ids=["query", "accept"]
)
def test_csv_comes_whole(reader: httpx.Client, rows: list[tuple[str, str]], ask: dict[str, Any]) -> None:
    first, last = TODAY - timedelta(days=50), TODAY - timedelta(days=1)
    params = {"from": str(first), "to": str(last), **ask.pop("params", {})}
    answer = reader.get("/v1/admin/usage", params=params, **ask)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == f'attachment; filename="usage-{first}-{last}.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["day"], row["key_id"]) for row in table] == rows
    assert {row["requests"] for row in table} == {"1"}


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/csv;q=0", "text/csv, application/json"])
def test_json_comes_unless_csv_is_wanted(reader: httpx.Client, accept: str) -> None:
    answer = reader.get("/v1/admin/usage", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "params",
    [
        {"from": "yesterday"},
        {"from": "1700000000"},
        {"from": "2026-02-30"},
        {"to": ""},
        {"from": "2026-02-01", "to": "2026-01-31"},
        {"key": "key ZqxjKw"},
        {"cursor": "ZqxjKw"},
        {"cursor": "2026-13-01.key_a"},
        {"format": "xlsx"},
        {"format": "csv", "cursor": "2026-01-01.key_a"},
        {"limit": "0"},
        {"form": "csv"},
        [("key", "a"), ("key", "b")],
    ],
)
def test_what_does_not_fit_is_named(reader: httpx.Client, params: Any) -> None:
    refused = reader.get("/v1/admin/usage", params=params)
    assert_problem(refused, 422, "invalid-parameter")
    assert "ZqxjKw" not in refused.text


def test_the_first_day_of_all_is_no_trouble(reader: httpx.Client) -> None:
    assert reader.get("/v1/admin/usage", params={"to": "0001-01-02"}).json() == {"usage": [], "cursor": None}
