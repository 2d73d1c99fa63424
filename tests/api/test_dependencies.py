"""A sick dependency costs a clear error, never a hang, a 500 or a lost record."""

from __future__ import annotations

import io
import threading
import time

import pytest
from PIL import Image
from sqlalchemy import text

from tests.support.problems import assert_problem


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 128).save(buffer, "PNG")
    return buffer.getvalue()


def predict(caller, png):
    return caller.post("/v1/predict", content=png, headers={"Content-Type": "image/png"})


def test_all_well(caller, site, stranger):
    ready = stranger.get("/readiness")
    assert ready.status_code == 200, ready.text
    assert set(ready.json()["dependencies"].values()) == {"ok"}
    assert set(ready.json()["models"].values()) == {"ok"}


def test_the_model_server_is_down(caller, site, stranger, png):
    site.model.state = "down"
    problem = predict(caller, png)
    assert_problem(problem, 503, "model-unavailable")
    assert int(problem.headers["retry-after"]) >= 1
    time.sleep(1.1)  # readiness is asked at most once a second
    unready = assert_problem(stranger.get("/readiness"), 503)
    assert set(unready["models"].values()) == {"unavailable"}
    assert set(unready["dependencies"].values()) == {"ok"}
    assert stranger.get("/health").status_code == 200


def test_the_model_servers_queue_is_full(caller, site, png):
    site.model.state = "busy"
    response = predict(caller, png)
    assert_problem(response, 503, "temporary-reduced-capacity")
    assert int(response.headers["retry-after"]) >= 1


def test_the_model_server_is_too_slow(caller, site, png):
    site.model.delay = 30
    began = time.monotonic()
    assert_problem(predict(caller, png), 504, "deadline-exceeded")
    assert time.monotonic() - began < 5


def test_the_models_answer_is_broken(caller, site, png):
    site.model.broken = True
    assert_problem(predict(caller, png), 502, "bad-model-answer")


def test_a_caller_who_leaves_stops_the_work(site, key, png):
    site.model.delay = 0.9
    computed = len(site.model.requests)
    with site.client(key) as client:
        client.timeout = 0.3
        with pytest.raises(Exception, match="timed out"):
            predict(client, png)
    time.sleep(1.0)
    assert len(site.model.requests) == computed


def test_the_audit_store_is_down(caller, site, png):
    # Another process holds the write lock for longer than a record may take.
    engine = site.app.state.services.engine
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        import sqlite3

        connection = sqlite3.connect(engine.url.database, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        held.set()
        release.wait(20)
        connection.execute("ROLLBACK")
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    inferred = len(site.model.requests)
    try:
        assert_problem(predict(caller, png), 503, "audit-unavailable")
        # What needs no model needs its record too.
        assert_problem(caller.get("/v1/models"), 503, "audit-unavailable")
        assert_problem(caller.post("/v1/predict", content=b"x", headers={"Content-Type": "text/plain"}), 503)
    finally:
        release.set()
        holder.join()
    assert len(site.model.requests) == inferred
    deadline = time.monotonic() + 10
    while predict(caller, png).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_every_admitted_request_is_on_record(caller, site, png):
    answers = [
        predict(caller, png),
        caller.get("/v1/models"),
        caller.post("/v1/predict", content=b"x", headers={"Content-Type": "text/plain"}),
        caller.get("/v1/admin/keys?limit=0"),
    ]
    records = site.run(_finished(site.app.state.services.engine))
    for answer in answers:
        assert answer.headers["x-request-id"] in records, answer.request.url


async def _finished(engine) -> set[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT request_id FROM audit WHERE type = 'request.finished'"))
        return {row.request_id for row in rows}
