"""Usage over several gateway processes: every request is counted once.

On PostgreSQL; ``contract/test_usage_store.py`` has several processes that count on either database.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from gateway.admission.key_record import NewKey
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.admission.switches import Switches
from gateway.admission.usage_report import together
from gateway.admission.usage_store import Asked, UsageStore
from gateway.database import create_engine
from gateway.settings import DatabaseSettings
from tests.support.gateway import running_gateway
from tests.support.metrics import numbers
from tests.support.postgres import postgres_url

if TYPE_CHECKING:
    from gateway.embedded.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PLANS = {"trial": 12, "unlimited-internal": 12, "no-scope": 8, "switched-off": 8}
TENANT = "counted"


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 40).save(buffer, "PNG")
    return buffer.getvalue()


async def prepare(pepper: bytes, url: str) -> dict[str, tuple[str, str]]:
    """Name to key ID and secret, one for each way to fare."""
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    store, keys = KeyStore(engine, KeyMaker(pepper)), {}
    for name in PLANS:
        scopes = {"keys:read"} if name == "no-scope" else {"predict"}
        plan = "trial" if name == "trial" else "unlimited-internal"
        new = NewKey(owner=name, tenant=TENANT, scopes=frozenset(scopes), plan=plan)
        record, issued = await store.issue(new)
        keys[name] = (record.key_id, issued.text)
        if name == "switched-off":
            await Switches(engine, cache_seconds=0).turn_off("key", record.key_id, reason="test", by="cli")
    await engine.dispose()
    return keys


async def counted(url: str) -> dict[str, object]:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    asked = Asked(date(2000, 1, 1), date(2100, 1, 1), TENANT)
    rows = [row async for page in UsageStore(engine).walk(asked) for row in page]
    await engine.dispose()
    ids = {row.key_id for row in rows}
    return {key_id: together(row for row in rows if row.key_id == key_id) for key_id in ids}


def test_counts_of_several_workers_are_exact(stack: Stack, tmp_path: Path) -> None:
    with ExitStack() as servers:
        url = servers.enter_context(postgres_url())
        overrides = {"DATABASE_URL": url, "HTTP_WORKERS": "2", "INGEST_WORKER_PROCESSES": "1"}
        gateway = servers.enter_context(running_gateway(stack, tmp_path, **overrides))
        pepper = Path(gateway.variables["ADMISSION_KEY_PEPPER_FILE"]).read_text().strip().encode()
        keys = asyncio.run(prepare(pepper, url))
        seen: dict[str, Counter[int]] = {name: Counter() for name in keys}
        lock = threading.Lock()

        def ask(name: str) -> None:
            # A connection each, so that the requests are spread over the workers.
            headers = {"Authorization": f"Bearer {keys[name][1]}", "Content-Type": "image/png", "Connection": "close"}
            status = httpx.post(f"{gateway.url}/v1/predict", content=png(), headers=headers, timeout=60).status_code
            with lock:
                seen[name][status] += 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, [name for name, times in PLANS.items() for _ in range(times)]))
        metrics = numbers(httpx.get(gateway.metrics_url).text)
        gateway.child.stop(20)  # what is not written yet is written at the end
        found = asyncio.run(counted(url))

    assert metrics["cordon_processes"] == 2
    for status in ("2xx", "4xx"):
        answered = sum(count for each in seen.values() for code, count in each.items() if str(code)[0] == status[0])
        name = f'cordon_http_requests_total{{route="POST /v1/predict",status="{status}"}}'
        assert metrics[name] == answered, "the parent adds up what its processes counted"
    assert metrics['cordon_denials_total{policy="switch",reason="switch"}'] == PLANS["switched-off"]
    assert metrics['cordon_denials_total{policy="scope",reason="scope"}'] == PLANS["no-scope"]

    assert seen["unlimited-internal"] == {200: PLANS["unlimited-internal"]}
    assert set(seen["trial"]) == {200, 429}
    assert seen["no-scope"] == {403: PLANS["no-scope"]}
    assert seen["switched-off"] == {403: PLANS["switched-off"]}
    for name, (key_id, _) in keys.items():
        row, answers = found[key_id], seen[name]
        assert (row.requests, row.succeeded, row.frames) == (PLANS[name], answers[200], answers[200]), name
        assert row.denied_limit == answers[429]
        assert row.denied_scope == (answers[403] if name == "no-scope" else 0)
        assert row.denied_switch == (answers[403] if name == "switched-off" else 0)
        assert (row.caller_errors, row.server_errors, row.latency_count) == (0, 0, answers[200])
        assert row.bytes_in == answers[200] * len(png())
