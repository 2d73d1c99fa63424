"""The caller's deadline, the plan's and the server's: the smallest holds, and what cannot be in time is not begun."""

from __future__ import annotations

import threading
import time

import pytest

from gateway.admission.plans import Plan
from gateway.errors import InvalidParameter, Overloaded
from tests.support.endings import endings
from tests.support.moody import png_of
from tests.support.problems import assert_problem

PNG = png_of(32)


def predict(caller, **headers):
    head = {"Content-Type": "image/png"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.post("/v1/predict", content=PNG, headers=head)


@pytest.mark.parametrize("said", ["", "1", "m", "0m", "-1S", "1.5S", "123456789m", "1s", "1 S", "1S,2S", "+1S", "१S"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/deidentify"])
def test_a_time_limit_in_another_syntax_is_refused_and_not_repeated(caller, said, path):
    answer = caller.post(path, content=PNG, headers={"Content-Type": "image/png", "Grpc-Timeout": said.encode()})
    problem = assert_problem(answer, 422, InvalidParameter.slug)
    assert problem["parameter"] == "Grpc-Timeout"


def test_a_time_limit_said_twice_is_refused(caller):
    head = [("Content-Type", "image/png"), ("Grpc-Timeout", "1S"), ("Grpc-Timeout", "1S")]
    assert_problem(caller.post("/v1/predict", content=PNG, headers=head), 422)


@pytest.mark.parametrize("said", ["1H", "2M", "00000005S", "20000m", "20000000u"])
def test_a_time_limit_that_is_long_enough_changes_nothing(caller, said):
    assert predict(caller, Grpc_Timeout=said).status_code == 200


def test_the_callers_limit_holds_and_is_on_record(site, caller):
    site.model.delay = 0.9
    began = time.monotonic()
    answer = predict(caller, Grpc_Timeout="500m")
    assert time.monotonic() - began < 0.5 + 0.6
    assert_problem(answer, 504, "deadline-exceeded")
    assert int(answer.headers["Retry-After"]) >= 1
    assert endings(site.settings)[answer.headers["X-Request-ID"]] == [("failed", 504)]


def test_what_cannot_be_in_time_is_refused_before_its_body_is_read(site, caller):
    assert predict(caller).status_code == 200
    began = time.monotonic()
    answer = predict(caller, Grpc_Timeout="1n")
    assert_problem(answer, 504, "deadline-exceeded")
    assert time.monotonic() - began < 1.0
    assert answer.headers["X-Request-ID"] not in endings(site.settings)  # as all refusals at the door: counted
    line = next(line for line in site.lines_of(answer) if line["event"] == "http.answered")
    assert line["bytes_in"] == 0


def test_the_plans_limit_holds(site, monkeypatch):
    plans = site.app.state.parts.plans
    monkeypatch.setitem(plans._plans, "standard", Plan(concurrency=8, deadline_seconds=0.4))
    site.model.delay = 0.9
    with site.client(site.key(plan="standard")) as caller:
        began = time.monotonic()
        assert_problem(predict(caller), 504, "deadline-exceeded")
        assert time.monotonic() - began < 0.4 + 0.6
        assert_problem(predict(caller, Grpc_Timeout="5S"), 504)  # the smallest holds


def test_when_too_many_wait_the_next_is_told_when_to_come(site, caller, key, monkeypatch):
    load = site.app.state.services.load
    monkeypatch.setattr(load, "_multiple", 0.05)
    site.model.delay = 0.4
    answers = []
    clients = [site.client(key) for _ in range(8)]
    callers = [threading.Thread(target=lambda client=client: answers.append(predict(client))) for client in clients]
    for each in callers:
        each.start()
        time.sleep(0.03)
    for each, client in zip(callers, clients, strict=True):
        each.join()
        client.close()
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert len(refused) < len(answers)
    for answer in refused:
        assert_problem(answer, 503, "temporary-reduced-capacity")
        assert int(answer.headers["Retry-After"]) >= 1
    assert load.turned_away >= len(refused)
    monkeypatch.undo()
    assert predict(caller).status_code == 200


def test_what_was_shed_is_counted_on_record_and_charged_to_nobody(site, monkeypatch):
    load, notes = site.app.state.services.load, []
    monkeypatch.setattr(load, "expect", lambda *_, **__: (_ for _ in ()).throw(Overloaded("busy", retry_after=3.2)))
    monkeypatch.setattr(site.app.state.services.denials, "_add", lambda alike, *_: notes.append(alike))
    with site.client(site.key(plan="trial")) as caller:
        for _ in range(30):  # more than the plan's window
            answer = predict(caller)
            assert_problem(answer, 503, "temporary-reduced-capacity")
            assert answer.headers["Retry-After"] == "4"
    assert {(note.kind, note.reason) for note in notes} == {("overload", "queue")}
