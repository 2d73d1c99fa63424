"""What is started for a run: Valkey, a Triton with the models to compare, and gateways in front of it.

The model repository of a run is made of links: the shipped model as it is, the same one without a batcher
(``<name>_unbatched``), and the null model. One Triton serves all of them; a model that nobody asks computes nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import yaml
from PIL import Image

from benchmarks.serving import rig
from benchmarks.serving.load import Target
from benchmarks.serving.pictures import pictures
from gateway.embedded.child import Child
from gateway.embedded.stack import Stack
from gateway.embedded.state import StateFolder
from gateway.embedded.triton import DEFAULT_CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.serving.rig import Party

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "model_repository"
NULL = "null"
SIDE = 224
PICTURE = "512x512"
READY_SECONDS = 90.0
CONCURRENCY = 100_000
"""Of the plan of the benchmark's key: counted as any other's, and never reached. What refuses is the gateway."""


def tensor(data: bytes) -> bytes:
    """The picture as the model takes it: uint8 [1, 224, 224, 3], its bytes."""
    return Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE)).tobytes()


class Serving:
    """Triton and Valkey, up and warm, and whatever is started in front of them. A context manager.

    Args:
        folder: For everything that is written.
        triton_cores: The cores that Triton may use; None: all.
        gateway_cores: The cores of gateways; None: all.
        triton_environment: The virtual environment that holds Triton.
        configuration: Which ``configs/<name>.pbtxt`` of each model Triton uses.
        repository: Makes another model repository than the one described above, in the folder that it is given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        triton_cores: list[int] | None = None,
        gateway_cores: list[int] | None = None,
        triton_environment: Path = ROOT / ".triton",
        configuration: str = DEFAULT_CONFIGURATION,
        repository: Callable[[Path, str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.model = _default_model()
        self._triton = triton_environment, configuration
        self._make_repository = repository or _with_null_and_unbatched
        self._cores = triton_cores, gateway_cores
        self._exits = contextlib.ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        repository, policy = self.folder / "models", self.folder / "models.yaml"
        repository.mkdir()
        self._make_repository(repository, self.model)
        policy.write_text(yaml.safe_dump(_policy(repository, self.model)), encoding="utf-8")
        plans = yaml.safe_load((ROOT / "policies" / "plans.yaml").read_text(encoding="utf-8"))
        plans["plans"]["partner"]["concurrency"] = CONCURRENCY
        (self.folder / "plans.yaml").write_text(yaml.safe_dump(plans), encoding="utf-8")
        self.picture = next(each for each in pictures(self.folder) if each.name == PICTURE)
        try:
            state = self._exits.enter_context(StateFolder(self.folder / "state", cache=ROOT / ".cordon" / "cache"))
            self.stack = self._exits.enter_context(
                Stack(
                    state,
                    triton_environment=self._triton[0],
                    configuration=self._triton[1],
                    repository=repository,
                    models_policy=policy,
                )
            )
            with self._on(self._cores[0]):  # inherited; OpenVINO makes a thread a core that it has
                self.stack.start()
            self.stack.wait_ready()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def triton_pid(self) -> int:
        assert self.stack.triton is not None
        return self.stack.triton.child.pid

    def triton(self, name: str, model: str) -> Target:
        """Triton driven directly: a finished tensor by its binary HTTP extension, which a C++ client sends as well."""
        raw = tensor(self.picture.data)
        asked = {
            "inputs": [
                {"name": "image", "shape": [1, SIDE, SIDE, 3], "datatype": "UINT8",
                 "parameters": {"binary_data_size": len(raw)}}
            ],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
        }  # fmt: skip
        described = json.dumps(asked).encode()
        head = (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Inference-Header-Content-Length: {len(described)}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(described) + len(raw)}\r\n\r\n"
        )
        assert self.stack.triton is not None
        return Target(name, self.stack.triton.ports.http, head.encode() + described + raw)

    def batches(self, model: str) -> dict[int, int]:
        """Batch size to how many batches had it so far, by Triton's statistics extension."""
        assert self.stack.triton is not None
        counted = json.loads(get(self.stack.triton.ports.http, f"/v2/models/{model}/stats"))["model_stats"][0]
        return {int(each["batch_size"]): int(each["compute_infer"]["count"]) for each in counted["batch_stats"]}

    def gateway(self, *, look: bool = False, **settings: str) -> Party:
        """Start one more, with a database of its own.

        Args:
            look: Whether it looks for burned-in text in each picture.
            settings: By their names in the environment.
        """
        self._count += 1
        name = f"gateway-{self._count}"
        settings = {"ADMISSION_PLANS_POLICY": str(self.folder / "plans.yaml"), "LOG_LEVEL": "WARNING"} | settings
        with self._on(self._cores[1]):
            return self._exits.enter_context(rig.gateway(self.stack, self.folder / name, name, look=look, **settings))

    @contextlib.contextmanager
    def _on(self, cores: list[int] | None) -> Iterator[None]:
        """What is started meanwhile runs on these cores alone."""
        mine = psutil.Process().cpu_affinity()
        try:
            if cores:
                psutil.Process().cpu_affinity(cores)
            yield
        finally:
            psutil.Process().cpu_affinity(mine)

    def start(self, name: str, command: list[str], port: int, environment: Mapping[str, str], *, ready: str) -> Child:
        """Start another server and wait until GET ``ready`` answers 200. It is stopped with everything else."""
        with self._on(self._cores[1]):
            child = Child(name, command, log=self.folder / f"{name}.log", environment=environment)
        self._exits.callback(child.stop, 3.0)
        child.wait_ready(lambda: _answers(port, ready), READY_SECONDS)
        return child


def get(port: int, path: str) -> bytes:
    """The body of an answer that must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"GET {path}: {answer.status}")
        return body
    finally:
        connection.close()


def _answers(port: int, path: str) -> bool:
    try:
        get(port, path)
    except (OSError, http.client.HTTPException, RuntimeError):
        return False
    return True


def _default_model() -> str:
    name: str = yaml.safe_load((ROOT / "policies" / "models.yaml").read_text(encoding="utf-8"))["default"]
    return name


def _with_null_and_unbatched(folder: Path, model: str) -> None:
    (folder / model).symlink_to(SHIPPED / model)
    (folder / NULL).symlink_to(rig.HERE / "null_model" / NULL)
    unbatched = folder / f"{model}_unbatched"
    (unbatched / "configs").mkdir(parents=True)
    for each in ("manifest.json", "labels.txt", "1"):
        (unbatched / each).symlink_to(SHIPPED / model / each)
    for name in ("config.pbtxt", f"configs/{DEFAULT_CONFIGURATION}.pbtxt"):
        text = (SHIPPED / model / name).read_text(encoding="utf-8")
        (unbatched / name).write_text(_without_batcher(text, model), encoding="utf-8")


def _policy(repository: Path, model: str) -> dict[str, Any]:
    """What the gateways offer: the first version of the shipped model, and the null model where it is there."""
    shipped = yaml.safe_load((ROOT / "policies" / "models.yaml").read_text(encoding="utf-8"))
    offered = yaml.safe_load((rig.HERE / "null-models.yaml").read_text(encoding="utf-8"))
    rules = shipped["models"][model] | {"versions": {"1": {"weight": 100}}}
    rules.pop("shadow", None)
    models = {model: rules} | offered["models"]
    return {"default": model, "models": {name: each for name, each in models.items() if (repository / name).exists()}}


def _without_batcher(text: str, model: str) -> str:
    """A configuration under another name, and without its block of dynamic batching."""
    begin = text.index("dynamic_batching")
    depth, end = 0, text.index("{", begin)
    while depth or end == text.index("{", begin):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return re.sub(f'name: "{model}"', f'name: "{model}_unbatched"', text[:begin] + text[end:], count=1)
