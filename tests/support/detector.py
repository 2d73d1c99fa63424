"""A real Triton with a detector that finds bright rectangles, and images that have some."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gateway.embedded.triton import Triton
from gateway.embedded.triton_environment import TritonEnvironment
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.stack import TRITON_ENVIRONMENT, require_triton

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from gateway.embedded.stack import Stack

REPOSITORY = Path(__file__).parent / "detectors"
PATIENT = ("INGEST_WORKER_SECONDS", "HTTP_DEADLINE_SECONDS", "TRITON_TIMEOUT_SECONDS")
Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two exclusive."""


@contextmanager
def running_detector(stack: Stack, folder: Path) -> Iterator[RunningGateway]:
    """A gateway in front of the detector."""
    require_triton()
    triton = Triton(
        TritonEnvironment.find(TRITON_ENVIRONMENT),
        REPOSITORY,
        folder=folder / "triton",
        cache=folder / "cache",
        log=folder / "triton.log",
    )
    try:
        triton.wait_ready(60)
        offered = {"MODELS_POLICY": str(REPOSITORY / "models.yaml"), "MODELS_REPOSITORY": str(REPOSITORY)}
        offered |= {"TRITON_URL": triton.url, "INGEST_WORKER_PROCESSES": "1"}
        offered |= dict.fromkeys(PATIENT, "60")  # a busy machine is no failure here
        with running_gateway(stack, folder / "gateway", **offered) as gateway:
            yield gateway
    finally:
        triton.stop()


def picture(rows: int, columns: int, *rectangles: Rectangle, dtype: type = np.uint8) -> npt.NDArray[np.uint8]:
    """A dark picture with white rectangles; the second and further ones are light grey."""
    made = np.full((rows, columns), 20, dtype)
    for number, (left, top, right, bottom) in enumerate(rectangles):
        made[top:bottom, left:right] = 200 if number else 255
    return made
