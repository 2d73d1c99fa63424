"""Load on an installation of one's own, with Locust: what users see while others work.

    make run                                                          # or any gateway, anywhere
    .venv/bin/uv sync --frozen --all-extras --inexact --group load    # Locust, once
    export CORDON_KEY=$(.venv/bin/cordon keys issue --owner "Load test" --tenant load --scope predict \\
        --plan unlimited-internal)
    .venv/bin/locust -f benchmarks/locustfile.py --host http://127.0.0.1:8080                  # web page on :8089
    .venv/bin/locust -f benchmarks/locustfile.py --host http://127.0.0.1:8080 --headless \\
        --users 20 --spawn-rate 5 --run-time 1m --stop-timeout 15

A user is a hospital's application: mostly single slices (DICOM, JPEG), now and then a series of frames, now and then
the list of models, with pauses between. Refusals for load (429, 503) are shown under names of their own: a gateway that
sheds is not one that fails. Images are drawn, nobody's; CORDON_IMAGE names a file of your own to send in their place.
"""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from locust import HttpUser, between, events, task
from locust.exception import StopUser

from gateway.embedded.samples import jpeg, multi_frame, single_frame

SHED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
TYPES = {".dcm": "application/dicom", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


@events.init.add_listener
def _needs_a_key(**_: Any) -> None:
    if not os.environ.get("CORDON_KEY"):
        sys.exit("CORDON_KEY holds no API key; see the first lines of benchmarks/locustfile.py")


class Application(HttpUser):
    """One caller with an API key; a request every one to three seconds."""

    wait_time = between(1, 3)

    def on_start(self) -> None:
        """The images, and the key for every request."""
        self.client.headers["X-API-Key"] = os.environ["CORDON_KEY"]
        own = os.environ.get("CORDON_IMAGE")
        if own:
            image = Path(own)
            given = image.read_bytes(), TYPES.get(image.suffix.lower(), "application/dicom")
            self.slices = self.exports = self.series = given
        else:
            samples = single_frame(), jpeg(), multi_frame()
            self.slices, self.exports, self.series = ((each.data, each.media_type) for each in samples)

    @task(6)
    def slice_of_a_study(self) -> None:
        """One DICOM file."""
        self._predict("one slice, DICOM", *self.slices)

    @task(3)
    def exported_picture(self) -> None:
        """One JPEG."""
        self._predict("one picture, JPEG", *self.exports)

    @task(1)
    def frames_of_a_series(self) -> None:
        """All frames of one file."""
        self._predict("all frames, DICOM", *self.series, query="?frames=all")

    @task(1)
    def models(self) -> None:
        """What is on offer."""
        self.client.get("/v1/models", name="list of models")

    def _predict(self, name: str, data: bytes, media_type: str, *, query: str = "") -> None:
        headers = {"Content-Type": media_type}
        with self.client.post(
            f"/v1/predict{query}", data=data, headers=headers, name=name, catch_response=True
        ) as answer:
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                answer.failure("the key is not known")
                raise StopUser
            if answer.status_code in SHED:
                answer.request_meta["name"] = f"{name}: shed ({answer.status_code})"
                named = answer.headers.get("Retry-After")
                answer.success() if named else answer.failure(f"{answer.status_code} without Retry-After")
            elif answer.status_code != HTTPStatus.OK:
                answer.failure(f"status {answer.status_code}")
            elif "prediction" not in answer.json():
                answer.failure("no prediction in the answer")
