"""SIGTERM under load: every request that was let in gets its answer and its record, in the order of the end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from gateway.audit.reader import AuditReader
from gateway.audit.search import Filters
from gateway.settings import AuditSettings
from tests.support.audit import engine_of, sqlite_url
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.moody import png_of
from tests.support.processes import within

pytestmark = pytest.mark.stack

PNG = png_of(64)
PAUSE, DRAIN = 0.6, 2.0


@dataclass
class Caller:
    """One that a balancer sends to the gateway while that says it is ready; or one that goes on until it is refused."""

    gateway: RunningGateway
    ready: threading.Event
    heeds: bool
    answers: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    closes: int = 0

    def run(self) -> None:
        with self.gateway.client() as client:
            while self.ready.is_set() or not self.heeds:
                name = str(uuid4())
                head = {"Content-Type": "image/png", "X-Request-ID": name}
                try:
                    answer = client.post("/v1/predict", content=PNG, headers=head)
                except httpx.ConnectError:  # nothing was sent
                    assert not self.heeds
                    return
                except httpx.HTTPError:
                    self.broken.append(name)
                    return
                self.answers[name] = answer.status_code
                self.closes += answer.headers.get("Connection") == "close"


def slow_body(gateway: RunningGateway, name: str) -> socket.socket:
    """A caller whose body has come by half."""
    caller = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {gateway.key}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {len(PNG)}\r\nX-Request-ID: {name}\r\n\r\n"
    )
    caller.sendall(head.encode() + PNG[: len(PNG) // 2])
    caller.settimeout(20)
    return caller


def test_a_process_that_ends_under_load_loses_nothing(stack, tmp_path: Path) -> None:
    variables = {"HTTP_DRAIN_PAUSE_SECONDS": str(PAUSE), "HTTP_DRAIN_SECONDS": str(DRAIN), "METRICS_ENABLED": "false"}
    with running_gateway(stack, tmp_path, INGEST_WORKER_PROCESSES="1", **variables) as gateway:
        ready = threading.Event()
        ready.set()
        callers = [Caller(gateway, ready, heeds=number < 3) for number in range(6)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        assert within(30, lambda: all(len(caller.answers) > 3 for caller in callers))
        late, never = str(uuid4()), str(uuid4())
        with slow_body(gateway, late) as late_caller, slow_body(gateway, never) as never_caller:
            time.sleep(0.3)
            gateway.child.ask_to_stop()
            assert within(PAUSE, lambda: says_that_it_ends(gateway))  # before it stops accepting
            ready.clear()
            for thread in threads:
                thread.join(20)
            time.sleep(PAUSE + 0.3)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{gateway.url}/health")
            late_caller.sendall(PNG[len(PNG) // 2 :])
            assert late_caller.recv(65536).startswith(b"HTTP/1.1 200 ")
            cut = b"".join(iter(lambda: never_caller.recv(65536), b""))
        assert gateway.child.stop(20)
        assert gateway.child._process.returncode == 0

    assert cut.startswith(b"HTTP/1.1 503 ")
    assert b"shutting-down" in cut
    assert b"\r\nretry-after: 1\r\n" in cut.lower()
    assert not [name for caller in callers for name in caller.broken]
    answers = {name: status for caller in callers for name, status in caller.answers.items()}
    assert set(answers.values()) == {200}
    assert sum(caller.closes for caller in callers) >= 1
    answers |= {late: 200, never: 503}
    secret = Path(gateway.variables["AUDIT_CHAIN_KEY_FILE"]).read_text(encoding="ascii").strip()
    settings = AuditSettings(chain_key=secret, checkpoint_file=gateway.variables["AUDIT_CHECKPOINT_FILE"])
    records, sealed = asyncio.run(on_record(tmp_path, settings))
    ended = [(each["request_id"], each["status"]) for each in records if each["type"] == "request.finished"]
    assert sorted(ended) == sorted(answers.items())
    assert records[-1]["type"] == "gateway.stopped"
    assert sealed == len(records)


def says_that_it_ends(gateway: RunningGateway) -> bool:
    answer = httpx.get(f"{gateway.url}/readiness")
    return answer.status_code == 503 and answer.json()["type"].endswith("shutting-down")


async def on_record(folder: Path, settings: AuditSettings) -> tuple[list[dict], int]:
    """What the records say, and up to which one a signed checkpoint vouches for them."""
    engine = engine_of(sqlite_url(folder / "cordon.db"))
    try:
        reader = AuditReader(engine, settings)
        records = [dict(record.fields) async for record in reader.walk(Filters())]
        report = await reader.verify()
        assert report.good
        return records, report.sealed
    finally:
        await engine.dispose()
