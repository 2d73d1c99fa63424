"""Versions of a model behind a real Triton: shares, pins, shadows, rollbacks, loads, and what was kept."""

import asyncio
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.admission.administrator import Administrator
from gateway.audit.events import ModelChanged, fields_of
from gateway.embedded.triton import Triton
from gateway.errors import Conflict, InvalidParameter, ModelUnavailable, UnknownModel, UnknownVersion
from gateway.models import administration
from gateway.models.administration import Why
from gateway.models.cache import PLACE_BYTES
from inference_client.control import ModelControl
from inference_client.errors import InferenceError
from tests.support.valkey import ValkeyServer
from tests.support.versions import MODEL, REPOSITORY, Worker, call, running_versions, settings_of, workers

pytestmark = pytest.mark.stack
OPERATOR = Administrator.operator()
WHY = Why("test")
HEARD = 1.0


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with running_versions(tmp_path_factory.mktemp("versions")) as running:
        yield running


@pytest.fixture
async def pair(
    triton: Triton, valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Worker]]:
    """Two workers. What is loaded at the end is what was at the start."""
    monkeypatch.setattr(administration, "HEARD_SECONDS", 0.6)  # what is known is trusted for 0.5
    async with workers(settings_of(tmp_path, valkey.url, triton), 2) as made:
        yield made


def patients(count: int) -> list[str]:
    rng = random.Random(612)
    return [f"{rng.getrandbits(128):032x}" for _ in range(count)]


async def test_a_canary_of_ten_percent_answers_ten_percent_of_the_patients_on_every_worker_alike(pair) -> None:
    first, second = pair
    await first.parts.administration.canary(OPERATOR, MODEL, "2", 10, WHY)
    asked = patients(300)
    found = dict(zip(asked, await asyncio.gather(*(first.said(patient) for patient in asked)), strict=True))
    count = Counter(found.values())["2"]
    assert abs(count - 30) <= 3 * math.sqrt(300 * 0.1 * 0.9)
    assert [await second.said(patient) for patient in asked[:60]] == [found[patient] for patient in asked[:60]]


async def test_a_pin_wins_over_the_shares_and_one_that_is_not_on_offer_is_refused(pair) -> None:
    worker, _ = pair
    assert {await worker.said(patient, pinned="2") for patient in patients(5)} == {"2"}
    assert {await worker.said(patient) for patient in patients(5)} == {"1"}
    for version in ("4", "99"):
        with pytest.raises(UnknownVersion):
            await worker.parts.serving.expected(MODEL, version)
    with pytest.raises(UnknownModel):
        await worker.parts.serving.expected("nobody")


async def test_a_rollback_holds_on_every_worker_within_a_second_and_no_request_fails_meanwhile(pair) -> None:
    """Fifty callers, while the model moves from version to version."""
    first, second = pair
    met: list[tuple[float, str]] = []
    stop = asyncio.Event()

    async def caller(number: int) -> None:
        worker = pair[number % 2]
        while not stop.is_set():
            asked = time.monotonic()
            met.append((asked, await worker.said(f"patient-{number}")))
            await asyncio.sleep(0.02)

    callers = [asyncio.create_task(caller(number)) for number in range(50)]
    changed = []
    for change in (
        first.parts.administration.canary(OPERATOR, MODEL, "2", 100, Why("release")),
        second.parts.administration.rollback(OPERATOR, MODEL, Why("incident")),
    ):
        await asyncio.sleep(0.2)
        await change
        changed.append(time.monotonic())
        await asyncio.sleep(1.15)
    stop.set()
    await asyncio.gather(*callers)  # raises what any of them met
    assert {version for asked, version in met if changed[0] + HEARD < asked < changed[1] - 0.2} == {"2"}
    assert {version for asked, version in met if asked > changed[1] + HEARD} == {"1"}
    assert {version for _, version in met} == {"1", "2"}


async def test_a_worker_that_hears_nothing_finds_a_rollback_within_a_second(
    triton: Triton, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Redis is another one, so that no message reaches it."""
    settings = settings_of(tmp_path, valkey.url, triton)
    deaf = settings.model_copy(
        update={"redis": settings.redis.model_copy(update={"url": type(settings.redis.url)("redis://127.0.0.1:1/0")})}
    )
    async with workers(settings) as [speaker], workers(deaf) as [listener]:
        assert await listener.said("p") == "1"
        await speaker.parts.administration.canary(OPERATOR, MODEL, "2", 100, WHY)
        await asyncio.sleep(HEARD)
        assert await listener.said("p") == "2"


async def test_each_change_is_on_record_with_who_and_why(pair) -> None:
    worker, _ = pair
    models = worker.parts.administration
    await models.canary(OPERATOR, MODEL, "2", 25, Why("canary", "since the retraining"))
    await models.shadow(OPERATOR, MODEL, "2", 50, Why("test"))
    done = await models.rollback(OPERATOR, MODEL, Why("model-fault"))
    told = [event for event in worker.recorded.events if isinstance(event, ModelChanged)]
    assert [(event.action, event.version, event.reason, event.actor) for event in told] == [
        ("canary", "2", "canary", "cli"),
        ("shadow", "2", "test", "cli"),
        ("rollback", "1", "model-fault", "cli"),
    ]
    assert [event.shares for event in told] == [{"2": 25, "1": 75}, {"2": 25, "1": 75}, {"1": 100}]
    assert "retraining" not in str([fields_of(event) for event in told])
    assert (done.served.route.shadow, done.change.note, done.change.number) == ("", "", 3)


async def test_what_cannot_be_served_is_not_set(pair) -> None:
    worker, _ = pair
    models = worker.parts.administration
    with pytest.raises(Conflict, match="is not loaded"):
        await models.canary(OPERATOR, MODEL, "3", 10, WHY)
    with pytest.raises(Conflict, match="is not loaded"):
        await models.shadow(OPERATOR, MODEL, "3", 10, WHY)
    with pytest.raises(Conflict, match="name one"):
        await models.rollback(OPERATOR, MODEL, WHY)
    with pytest.raises(Conflict, match="answers"):
        await models.unload(OPERATOR, MODEL, "1", WHY)
    with pytest.raises(Conflict, match="No other version"):
        await models.canary(OPERATOR, MODEL, "1", 50, WHY)
    with pytest.raises(UnknownVersion):
        await models.load(OPERATOR, MODEL, "4", WHY)
    with pytest.raises(InvalidParameter):
        await models.canary(OPERATOR, MODEL, "2", 101, WHY)
    with pytest.raises(InvalidParameter):
        await models.canary(OPERATOR, MODEL, "2", 1, Why("test", "two\nlines"))
    assert worker.recorded.events == []


async def test_of_two_changes_at_once_one_is_told_to_look_again(pair) -> None:
    shares = (10, 20, 30)
    changes = [pair[share % 20 // 10].parts.administration.canary(OPERATOR, MODEL, "2", share, WHY) for share in shares]
    done = await asyncio.gather(*changes, return_exceptions=True)
    made = [share for share, each in zip(shares, done, strict=True) if not isinstance(each, BaseException)]
    assert made
    assert all(isinstance(each, Conflict) for each in done if isinstance(each, BaseException))
    recorded = [event.shares["2"] for worker in pair for event in worker.recorded.events]
    assert sorted(recorded) == made


async def test_what_was_set_holds_until_the_file_says_something_else(
    triton: Triton, valkey: ValkeyServer, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, valkey.url, triton)
    async with workers(settings) as [worker]:
        await worker.parts.administration.canary(OPERATOR, MODEL, "2", 100, WHY)
    async with workers(settings) as [worker]:  # a restart
        assert await worker.said("p") == "2"
    policy = tmp_path / "models.yaml"
    text = settings.models.policy.read_text()
    policy.write_text(text.replace("modalities: []", "modalities: [MR]"))
    for expected in ("2", "1"):
        async with workers(settings_of(tmp_path, valkey.url, triton, policy=policy)) as [worker]:
            assert await worker.said("p") == expected
        policy.write_text(
            text.replace('"1": {weight: 100}', '"1": {weight: 99}').replace('"2": {weight: 0}', '"2": {weight: 1}')
        )


async def test_a_version_is_loaded_warmed_and_unloaded_while_others_answer(pair) -> None:
    worker, other = pair
    models = worker.parts.administration
    stop = asyncio.Event()
    failed: list[BaseException] = []

    async def caller() -> None:
        while not stop.is_set():
            try:
                await other.said("patient")
            except InferenceError as error:
                failed.append(error)
            await asyncio.sleep(0.005)

    callers = [asyncio.create_task(caller()) for _ in range(10)]
    warmed = await models.warm(MODEL, "2")
    assert [each.images for each in warmed] == [1, 2, 4, 8]
    assert all(each.warm > 0 and each.first > 0 for each in warmed)
    assert (await models.unload(OPERATOR, MODEL, "2", WHY)).loaded == {"1"}
    with pytest.raises(UnknownVersion):
        await other.parts.serving.expected(MODEL, "2")
    with pytest.raises(Conflict, match="unloaded"):
        await models.rollback(OPERATOR, MODEL, WHY, to="2")
    with pytest.raises(ModelUnavailable):
        await models.warm(MODEL, "2")
    assert (await models.load(OPERATOR, MODEL, "2", WHY)).loaded == {"1", "2"}
    stop.set()
    await asyncio.gather(*callers)
    assert failed == []


async def test_weights_that_are_not_the_listed_ones_are_not_loaded(
    triton: Triton, valkey: ValkeyServer, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    shutil.copytree(REPOSITORY, repository)
    settings = settings_of(tmp_path, valkey.url, triton, repository=repository)
    async with workers(settings) as [worker]:
        for spoil, why in (
            (lambda path: path.write_bytes(path.read_bytes() + b"#"), "not those"),
            (lambda path: path.unlink(), "not at hand"),
        ):
            spoil(repository / MODEL / "3" / "model.py")
            with pytest.raises(Conflict, match=why):
                await worker.parts.administration.load(OPERATOR, MODEL, "3", WHY)
        assert (await worker.parts.administration.standing(MODEL)).loaded == {"1", "2"}
        assert worker.recorded.events == []


async def test_a_shadow_gets_its_share_and_is_compared(pair) -> None:
    worker, _ = pair
    await worker.parts.administration.shadow(OPERATOR, MODEL, "2", 100, WHY)
    for number in range(5):
        assert await worker.said(f"p{number}") == "1"
        await until(lambda number=number: len(worker.copies) > number)
    assert set(worker.copies) == {(MODEL, "2", "different")}


async def test_a_shadow_that_fails_or_hangs_costs_nothing_and_is_loaded_again_after_a_restart(pair, triton) -> None:
    worker, other = pair
    models = worker.parts.administration
    await models.load(OPERATOR, MODEL, "3", WHY)
    await models.shadow(OPERATOR, MODEL, "3", 100, WHY)
    await worker.said("p")
    await until(lambda: worker.copies == [(MODEL, "3", "failed")])
    times = []
    for number in range(12):  # the first one's copy hangs for a second, and the others are dropped
        began = time.perf_counter()
        assert await worker.said(f"p{number}", level=255) == "1"
        times.append(time.perf_counter() - began)
    assert worker.copies[1:] == [(MODEL, "3", "dropped")] * 11
    assert sum(times) < 1.2
    await worker.parts.serving.close()  # ends a copy that hangs, and waits for none

    control = ModelControl(triton.url)
    await control.serve(MODEL, {"1", "2"})  # as after a restart of the model server: its own configuration names these
    await other.parts.keeper.look()
    assert await control.versions(MODEL) == {"1", "2", "3"}
    await models.shadow(OPERATOR, MODEL, "3", 0, WHY)
    await models.unload(OPERATOR, MODEL, "3", WHY)
    await other.parts.keeper.look()
    assert await control.versions(MODEL) == {"1", "2"}
    await control.close()


async def until(holds) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - of the parts under test
            await asyncio.sleep(0.01)


async def test_an_answer_is_kept_for_its_tenant_tensor_and_version_alone(
    triton: Triton, valkey: ValkeyServer, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, valkey.url, triton, cache_seconds=60)
    async with workers(settings, 2) as pair:
        first, second = (worker.parts.serving for worker in pair)
        spec = await first.expected(MODEL)
        given, cached = await first.infer(spec, call(7))
        assert not cached
        await until(lambda: not first._cache._writing)
        again, cached = await second.infer(spec, call(7))
        assert cached
        assert again.output.tolist() == given.output.tolist()
        assert again.model_version == given.model_version
        for other in (call(8), call(7, "st-john")):
            assert not (await second.infer(spec, other))[1]
        assert not (await second.infer(await second.expected(MODEL, "2"), call(7)))[1]
        await until(lambda: not second._cache._writing)

        with valkey.client(text=False) as client:
            names = list(client.scan_iter("cordon:answers:*"))
            assert len(names) == 4
            assert all(0 < client.pttl(name) <= 60_000 for name in names)
            for name in names:  # a value that someone else wrote is none
                value = client.get(name)
                assert b"st-mary" not in value
                client.set(name, value[:-4] + b"\x00\x00\x80\x7f")
        assert not (await second.infer(spec, call(7)))[1]


async def test_what_is_kept_has_an_end_in_number(triton: Triton, valkey: ValkeyServer, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, valkey.url, triton, cache_seconds=60, cache_bytes=8 * PLACE_BYTES)
    async with workers(settings) as [worker]:
        spec = await worker.parts.serving.expected(MODEL)
        for level in range(64):
            await worker.parts.serving.infer(spec, call(level))
        await until(lambda: not worker.parts.serving._cache._writing)
        with valkey.client() as client:
            assert 0 < len(list(client.scan_iter("cordon:answers:*"))) <= 8


async def test_without_redis_it_is_as_if_nothing_were_kept(
    triton: Triton, tmp_path: Path, valkey: ValkeyServer
) -> None:
    settings = settings_of(tmp_path, "redis://127.0.0.1:1/0", triton, cache_seconds=60)
    async with workers(settings) as [worker]:
        spec = await worker.parts.serving.expected(MODEL)
        for _ in range(8):
            inference, cached = await worker.parts.serving.infer(spec, call(7))
            assert not cached
            assert inference.model_version == "1"
    async with workers(settings_of(tmp_path, valkey.url, triton)) as [worker]:  # and it is off unless asked for
        for _ in range(2):
            assert not (await worker.parts.serving.infer(spec, call(7)))[1]
    with valkey.client() as client:
        assert not list(client.scan_iter("cordon:answers:*"))
