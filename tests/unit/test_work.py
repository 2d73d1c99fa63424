"""What goes to a worker process, and what of it goes but once."""

import pickle

import pytest

from gateway.deid.engine import DeidEngine
from gateway.ingest.frames import FrameSelection
from gateway.ingest.upload import MediaType, Upload
from gateway.models.spec import InputSpec, ModelSpec
from gateway.settings import DeidSettings, IngestSettings
from gateway.work import Work
from gateway.worker_main import LENGTH, pack, unpack


def _model(name: str) -> ModelSpec:
    return ModelSpec(name=name, version="1", digest="0" * 64, labels=("a", "b"), input=InputSpec(32, 32))


@pytest.fixture
def limits() -> IngestSettings:
    return IngestSettings()


@pytest.fixture
def deid() -> DeidSettings:
    return DeidSettings(key="k" * 32)


def _sent(work: Work) -> tuple[Work, list[object]]:
    parts = pack(work)
    return unpack(bytearray(b"".join(parts)[LENGTH.size :])), parts


def test_it_arrives_as_it_was_sent(limits, deid):
    work = Work(Upload(b"bytes" * 1000, MediaType.PNG), FrameSelection("middle"), _model("one"), "t", limits, deid)
    back, parts = _sent(work)
    assert back == work
    assert isinstance(back.upload.data, bytes)
    assert bytes(parts[2]) == work.upload.data  # beside the pickle
    assert len(parts[1]) < 5000


def test_terms_are_read_once_and_told_apart(limits, deid):
    first, second = _model("one"), _model("two")
    works = [Work(Upload(b"x"), FrameSelection(), model, "t", limits, deid) for model in (first, second, first)]
    back = [_sent(work)[0] for work in works]
    assert [work.model.name for work in back] == ["one", "two", "one"]
    assert back[0].model is back[2].model
    assert back[0].terms is back[2].terms is not back[1].terms
    other = limits.model_copy(update={"max_frames": 3})
    assert _sent(Work(Upload(b"x"), FrameSelection(), first, "t", other, deid))[0].limits.max_frames == 3


def test_their_number_is_bounded(limits, deid):
    for number in range(200):
        work = Work(Upload(b"x"), FrameSelection(), _model(f"model-{number}"), "t", limits, deid)
        assert _sent(work)[0].model.name == f"model-{number}"


def test_one_engine_serves_all_calls_of_one_policy(limits, deid):
    work = Work(Upload(b"x"), FrameSelection(), _model("one"), "t", limits, deid)
    assert isinstance(work.terms.engine, DeidEngine)
    assert work.terms.engine is _sent(work)[0].terms.engine


def test_an_upload_alone_is_pickled_like_anything():
    upload = Upload(b"data", MediaType.JPEG)
    assert pickle.loads(pickle.dumps(upload)) == upload
