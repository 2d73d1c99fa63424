"""Step 5 of 7: gRPC status codes and Triton's sentences, as the errors of this package.

Triton answers a full queue and an absent model with the same code, so a few of its sentences have to be known. They
were read off Triton 2.51; the contract test asks a running one for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference_client.errors import (
    InferenceError,
    InferenceRejected,
    InferenceTimeout,
    ModelNotReady,
    ServerBusy,
    ServerUnreachable,
)

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

_BUSY = ("exceeds maximum queue size", "request timeout expired")
_NOT_READY = (
    "is not available",  # statistics of an unloaded model: INVALID_ARGUMENT
    "is not healthy",  # the Python backend's process died: INTERNAL, and again at every call
)
_UNREACHED = (
    "failed to connect",  # gRPC's own, not the server's: there is no connection to send it on
    "server is stopping",  # refused at the door
)


def translate(error: InferenceServerException) -> InferenceError:
    """The error to raise. Its text holds the code alone: the server's sentence may quote names out of a request."""
    code = str(error.status() or "").removeprefix("StatusCode.")
    sentence = (error.message() or "").lower()
    if any(part in sentence for part in _BUSY) or code == "RESOURCE_EXHAUSTED":
        return ServerBusy(f"the model's queue is full ({code})")
    if code == "UNAVAILABLE" and any(part in sentence for part in _UNREACHED):
        return ServerUnreachable("the model server cannot be reached")
    if code in {"UNAVAILABLE", "NOT_FOUND", "CANCELLED"} or any(part in sentence for part in _NOT_READY):
        return ModelNotReady(f"the model or its server is not ready ({code})")
    if code == "DEADLINE_EXCEEDED":
        return InferenceTimeout("no answer before the deadline")
    return InferenceRejected(f"the model server refused the request ({code})")
