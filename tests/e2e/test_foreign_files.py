"""Every public test file is answered: 200 or a named 4xx, in time, in bounded memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml

from tests.support.gateway import running_gateway

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT.parent / "shared" / "data" / "dicom").glob("*/*"))

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not FILES, reason="the public DICOM test files are not beside the project"),
]

RSS_LIMIT = 1.5 * 2**30


class Memory(threading.Thread):
    """Watches the resident memory of the gateway's processes."""

    def __init__(self, gateway) -> None:
        super().__init__(daemon=True)
        self.gateway = gateway
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            total = 0
            for process in self.gateway.processes():
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


@pytest.fixture(scope="module")
def any_modality(stack, tmp_path_factory):
    """A gateway whose model takes every modality, so that every file goes the whole way."""
    folder = tmp_path_factory.mktemp("any-modality")
    policy = yaml.safe_load((ROOT / "policies" / "models.yaml").read_text())
    for model in policy["models"].values():
        model["on_other_modality"] = "warn"
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump(policy))
    with running_gateway(stack, folder, MODELS_POLICY=str(path)) as running:
        yield running


@pytest.mark.parametrize("frames", ["all", "middle"])
def test_all_files_at_eight_at_a_time(any_modality, frames):
    assert len(FILES) >= 122
    memory = Memory(any_modality)
    memory.start()

    def post(path: Path) -> tuple[str, int, str, float]:
        began = time.monotonic()
        with any_modality.client() as client:
            answer = client.post(
                f"/v1/predict?frames={frames}",
                content=path.read_bytes(),
                headers={"Content-Type": "application/octet-stream"},
            )
        problem = answer.json().get("type", "") if answer.status_code >= 400 else ""
        return path.name, answer.status_code, problem, time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(post, FILES))
    memory.done.set()
    memory.join()

    assert [r for r in results if r[1] >= 500] == []
    assert [r for r in results if r[1] != 200 and not r[2].startswith("urn:cordon:problem:")] == []
    assert [r for r in results if r[3] > 5.0] == []
    assert sum(r[1] == 200 for r in results) >= 80
    assert memory.peak < RSS_LIMIT
