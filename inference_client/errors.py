"""What can go wrong between us and the model server.

InferenceError
├── ModelNotReady       not loaded, unloading, or the server is down
│   └── ServerUnreachable   no connection, or the server is stopping: the request reached no model
├── InferenceTimeout    the deadline passed
├── ServerBusy          the queue is full; nothing was computed
├── InvalidAnswer       wrong shape or dtype, not finite
└── InferenceRejected   the server refused the request itself: a defect of ours or of the configuration
"""

from __future__ import annotations


class InferenceError(Exception):
    """The root."""


class ModelNotReady(InferenceError):
    """Not loaded, unloading, or the server cannot be reached. Nothing came back, but it may have been computed.

    Args:
        message: What is known.
        retry_after: Seconds until it will be asked again, where that is known.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerUnreachable(ModelNotReady):
    """The request reached no model, so nothing was computed: it may safely be sent once more."""


class InferenceTimeout(InferenceError):
    """The deadline passed before an answer came."""


class ServerBusy(InferenceError):
    """The server's queue is full, or the request timed out in it; nothing was computed."""


class InvalidAnswer(InferenceError):
    """The answer's shape or dtype is not what the metadata promises, or it is not finite."""


class InferenceRejected(InferenceError):
    """The server refused the request: a defect of ours, or of the model's configuration."""
