"""The model server slow, wrong, unloaded, hanging, killed: an answer in time, the other model untouched, and recovery.

A real Triton with two models that fail on command (``tests/support/moody.py``), behind a gateway on a socket.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from gateway.app import create_app
from gateway.embedded.keeper import Keeper
from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from gateway.settings import HttpSettings, ModelSettings, TritonSettings
from tests.support.endings import endings
from tests.support.moody import SLOW_SECONDS, MoodyModel, moody_repository, png_of
from tests.support.problems import assert_problem
from tests.support.processes import within
from tests.support.site import MAX_BODY, Site, settings_for
from tests.support.stack import TRITON_ENVIRONMENT, require_triton

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack

PNG = png_of(32)
TIMEOUT = 1.2
"""Of the model server; more than a second, so that a time-out counts as its failure."""
IN_TIME = TIMEOUT + 1.5
"""With a second and a half for a busy machine."""


@dataclass
class Rig:
    """A gateway, and the model server behind it."""

    site: Site
    triton: Triton
    models: dict[str, MoodyModel]
    client: httpx.Client

    def ask(self, model: str, **headers: str) -> httpx.Response:
        head = {"Content-Type": "image/png"} | headers
        return self.client.post("/v1/predict", params={"model": model}, content=PNG, headers=head)

    def states(self) -> dict[str, str]:
        """Of /readiness, which is asked at most once a second."""
        return self.client.get("/readiness").json()["models"]

    def well(self, model: str) -> bool:
        return self.ask(model).status_code == 200

    def refused(self, model: str, *statuses: int) -> httpx.Response:
        """Asked until the breaker is open: each answer in time, each 5xx says when to come again."""
        for _ in range(12):
            began = time.monotonic()
            answer = self.ask(model)
            assert time.monotonic() - began < IN_TIME
            assert answer.status_code in {503, *statuses}, answer.text
            if answer.status_code != 502:
                assert int(answer.headers["Retry-After"]) >= 1
            if self.held_back(model):
                break
        assert self.held_back(model)
        began = time.monotonic()
        answer = self.ask(model)
        assert time.monotonic() - began < 1.0 + 0.5  # at most a trial
        assert_problem(answer, 503, "model-unavailable")
        return answer

    def held_back(self, model: str) -> bool:
        return self.site.app.state.services.inference.states().get((model, "1"), "closed") != "closed"


@pytest.fixture(scope="module")
def rig(valkey_server, tmp_path_factory) -> Iterator[Rig]:
    require_triton()
    folder = tmp_path_factory.mktemp("moody")
    repository, policy, models = moody_repository(folder, "first", "second")
    triton = Triton(
        TritonEnvironment.find(TRITON_ENVIRONMENT),
        repository,
        folder=folder / "triton",
        cache=folder / "cache",
        log=folder / "triton.log",
        control="explicit",
    )
    try:
        triton.wait_ready()
        settings = settings_for(
            folder,
            valkey_server.url,
            http=HttpSettings(max_body_bytes=MAX_BODY, deadline_seconds=10.0),
            models=ModelSettings(policy=policy, repository=repository),
            triton=TritonSettings(url=triton.url, timeout_seconds=TIMEOUT, breaker_failures=2, breaker_seconds=0.4),
        )
        site = Site(settings, app=create_app(settings)).start()
        try:
            with site.client(site.key()) as client:
                yield Rig(site, triton, models, client)
        finally:
            site.stop()
    finally:
        triton.stop()


@pytest.fixture
def whole(rig: Rig) -> Iterator[Rig]:
    """Both models answer, before and after."""
    rig.site.listen()
    for name in rig.models:
        assert within(15, lambda name=name: rig.well(name))
    yield rig
    for name, model in rig.models.items():
        model.feels("well")
        assert within(15, lambda name=name: rig.well(name)), name


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("mood", ["nan", "shape"])
def test_wrong_answers_reach_nobody_and_hold_the_model_back(whole: Rig, mood) -> None:
    whole.models["first"].feels(mood)
    assert_problem(whole.ask("first"), 502, "bad-model-answer")
    whole.refused("first", 502)
    assert whole.well("second")
    time.sleep(1.1)
    assert whole.states() == {"first": "unavailable", "second": "ok"}
    whole.models["first"].feels("well")
    assert within(10, lambda: whole.well("first"))


def test_one_model_that_is_slow_does_not_slow_the_other(whole: Rig) -> None:
    whole.models["first"].feels("slow")
    answers: list[httpx.Response] = []
    clients = [whole.site.client(whole.site.key()) for _ in range(6)]

    def ask(client: httpx.Client) -> None:
        head = {"Content-Type": "image/png"}
        answers.append(client.post("/v1/predict?model=first", content=PNG, headers=head))

    callers = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for caller in callers:
        caller.start()
    time.sleep(0.2)
    waits = []
    for _ in range(8):
        began = time.monotonic()
        assert whole.well("second")
        waits.append(time.monotonic() - began)
    for caller, client in zip(callers, clients, strict=True):
        caller.join()
        client.close()
    assert {answer.status_code for answer in answers} <= {503, 504}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert sorted(waits)[len(waits) // 2] < TIMEOUT / 2 < SLOW_SECONDS
    whole.refused("first", 504)
    assert whole.well("second")


def test_the_callers_deadline_goes_to_the_model_server_and_is_kept(whole: Rig) -> None:
    whole.models["first"].feels("slow")
    began = time.monotonic()
    answer = whole.ask("first", **{"Grpc-Timeout": "500m"})
    assert_problem(answer, 504, "deadline-exceeded")
    assert time.monotonic() - began < 0.5 + 1.0
    assert endings(whole.site.settings)[answer.headers["X-Request-ID"]] == [("failed", 504)]


def test_who_leaves_ends_the_call_on_the_model_server_and_is_on_record(whole: Rig) -> None:
    """Triton, busy with one, drops from its queue the call whose caller has gone: it is never computed."""
    whole.models["first"].feels("slow")
    with whole.site.client(whole.site.key()) as other:
        busy = threading.Thread(target=lambda: whole.ask("first"))
        busy.start()
        time.sleep(0.3)
        other.timeout = 0.4
        name = str(uuid4())
        head = {"Content-Type": "image/png", "X-Request-ID": name}
        with pytest.raises(httpx.ReadTimeout):
            other.post("/v1/predict?model=first", content=PNG, headers=head)
        busy.join()
    assert within(5, lambda: name in endings(whole.site.settings))
    assert endings(whole.site.settings)[name] == [("failed", 499)]
    whole.models["first"].feels("well")
    assert within(10, lambda: whole.well("first"))
    assert name not in whole.models["first"].answered


def test_an_unloaded_model_is_unavailable_alone_and_is_found_when_it_is_back(whole: Rig) -> None:
    with httpx.Client(base_url=whole.triton.http_url, timeout=30) as triton:
        triton.post("/v2/repository/models/first/unload", json={}).raise_for_status()
        try:
            whole.refused("first")
            assert whole.well("second")
            time.sleep(1.1)
            assert whole.states() == {"first": "unavailable", "second": "ok"}
        finally:
            triton.post("/v2/repository/models/first/load", json={}).raise_for_status()
    assert within(10, lambda: whole.well("first"))


def test_a_server_that_hangs_costs_a_time_out_and_then_nothing(whole: Rig) -> None:
    with stopped(whole.triton.child.pid):
        assert_problem(whole.ask("first"), 504, "deadline-exceeded")
        whole.refused("first", 504)
        time.sleep(1.1)
        unready = whole.client.get("/readiness")
        assert unready.status_code == 503
        assert unready.json()["models"] == {"first": "unavailable", "second": "unavailable"}
    assert within(10, lambda: whole.well("first"))


@pytest.mark.parametrize("victim", ["server", "model"])
def test_what_was_killed_is_started_anew_and_found_and_no_answer_is_doubled(whole: Rig, victim, monkeypatch) -> None:
    monkeypatch.setattr("gateway.embedded.keeper._PROBE_SECONDS", 0.1)
    said: list[str] = []
    keeper = Keeper(whole.triton, said.append, stable_seconds=0.0)
    time.sleep(0.1)
    keeper.watch()
    pid = whole.triton.child.pid
    stubs = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    os.kill(pid if victim == "server" else stubs[0], signal.SIGKILL)
    ids = []

    def both_well() -> bool:
        keeper.watch()
        answers = [whole.ask(name) for name in whole.models]
        for answer in answers:
            assert answer.status_code in {200, 503}, answer.text
            assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1
        ids.extend(answers)
        return keeper.restarts == 1 and all(answer.status_code == 200 for answer in answers)

    assert within(40, both_well), said
    assert said[-1] == "Triton is ready again." or keeper.restarts == 1
    computed = [line for model in whole.models.values() for line in model.answered]
    on_record = endings(whole.site.settings)
    for answer in ids:
        name = answer.headers["X-Request-ID"]
        assert on_record[name] == [("success" if answer.status_code == 200 else "failed", answer.status_code)]
        assert computed.count(name) == 1 if answer.status_code == 200 else computed.count(name) <= 1
