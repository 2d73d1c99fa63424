"""Every error the gateway can answer with, and its problem+json form (RFC 9457).

    GatewayError
    ├── CallerError                      the caller can mend it
    │   ├── Unauthenticated        401
    │   ├── Forbidden              403
    │   │   └── Suspended          403   the key or its tenant is switched off
    │   ├── NotFound               404
    │   ├── UnknownModel           404
    │   ├── UnknownVersion         404   of a model
    │   ├── MethodNotAllowed       405
    │   ├── BodyTimeout            408
    │   ├── RequestInProgress      409   one with the same Idempotency-Key
    │   ├── AlreadyDone            409   by an earlier one with it, and what that told is not kept
    │   ├── Conflict               409   the resource is not in a state for this
    │   ├── PreconditionFailed     412   it was changed since the caller looked
    │   ├── PreconditionRequired   428   the caller does not say which state it looked at
    │   ├── BodyTooLarge           413
    │   ├── HeadTooLarge           431
    │   ├── UnsupportedMediaType   415
    │   ├── MalformedBody          400   the multipart framing is broken
    │   ├── InvalidParameter       422
    │   ├── UnsafeFile             422   built like an attack, or breaks its own lengths
    │   ├── Unreadable             422   the content cannot be decoded
    │   ├── UnsupportedTransferSyntax 422
    │   ├── NoPixels               422
    │   ├── ImageTooLarge          422   more pixels, frames or elements than are taken
    │   ├── WrongModality          422
    │   ├── WrongBodyPart          422
    │   ├── NotSanitizable         422   identifiers cannot be removed with certainty
    │   ├── TooCostly              422   decoding outlasts its time
    │   ├── RetentionRefused       409   records must not be given up now
    │   └── QuotaExceeded          429
    ├── DependencyError                  a part behind the gateway is sick; try again later
    │   ├── StoreUnavailable       503   keys cannot be read
    │   ├── AuditUnavailable       503   no record, so no answer
    │   ├── ReceiverUnavailable    503   of audit messages
    │   ├── LimiterUnavailable     503
    │   ├── ModelUnavailable       503
    │   ├── SwitchedOff            503   by the operator
    │   ├── ShuttingDown           503   this process; others may be there
    │   └── Overloaded             503
    ├── BadModelAnswer             502   the model server's answer is not what its metadata promises
    ├── DeadlineExceeded           504
    └── InternalError              500

A detail is written for the caller and names what is wrong: a field, a tag number, a limit. It never holds a value that
the caller sent: values may identify a patient.
"""

from __future__ import annotations

from typing import Any

from gateway.problem import GatewayError as GatewayError  # noqa: PLC0414 - found here by all who raise and catch


class CallerError(GatewayError):
    """The caller can mend it: 4xx."""

    status = 400
    slug = "bad-request"
    title = "Bad request"


class Unauthenticated(CallerError):
    """No credential, or not a good one. One wording for every reason, so that a guesser learns nothing."""

    status = 401
    slug = "unauthenticated"
    title = "A valid credential is required"


class Forbidden(CallerError):
    """The caller is known and may not do this."""

    status = 403
    slug = "forbidden"
    title = "The credential does not allow this"


class Suspended(Forbidden):
    """The caller's key or tenant is switched off."""

    slug = "suspended"
    title = "The credential is suspended"


class NotFound(CallerError):
    """No such resource, or one of another tenant."""

    status = 404
    slug = "not-found"
    title = "Not found"


class UnknownModel(NotFound):
    """The named model is not served here."""

    slug = "unknown-model"
    title = "No such model"


class UnknownVersion(NotFound):
    """The version of the model that was asked for is not on offer."""

    slug = "unknown-version"
    title = "No such version of the model"


class MethodNotAllowed(CallerError):
    """The resource does not have this method."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"


class BodyTimeout(CallerError):
    """The body came too slowly."""

    status = 408
    slug = "body-timeout"
    title = "The body did not arrive in time"


class RequestInProgress(CallerError):
    """A request with the same Idempotency-Key has not ended."""

    status = 409
    slug = "request-in-progress"
    title = "The same request is running"


class AlreadyDone(CallerError):
    """An earlier request with the same Idempotency-Key did this, and told a secret that is kept nowhere."""

    status = 409
    slug = "already-done"
    title = "This was done by an earlier request"


class Conflict(CallerError):
    """The resource is not in a state in which this can be done."""

    status = 409
    slug = "conflict"
    title = "Not possible in the present state"


class PreconditionFailed(CallerError):
    """The resource was changed since the caller looked at it (RFC 9110 §13.1.1)."""

    status = 412
    slug = "precondition-failed"
    title = "The resource was changed meanwhile"


class PreconditionRequired(CallerError):
    """A change must name the state that it is made against (RFC 6585 §3)."""

    status = 428
    slug = "precondition-required"
    title = "If-Match is required"


class BodyTooLarge(CallerError):
    """The body is larger than is taken."""

    status = 413
    slug = "body-too-large"
    title = "The body is too large"


class UnsupportedMediaType(CallerError):
    """Not a DICOM, JPEG or PNG, or not the one that it was declared to be."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"


class HeadTooLarge(CallerError):
    """The request's head or a part's head is larger than is taken (RFC 6585 §5)."""

    status = 431
    slug = "head-too-large"
    title = "The headers are too large"


class MalformedBody(CallerError):
    """The body's framing (multipart) is broken."""

    slug = "malformed-body"
    title = "The body is malformed"


class InvalidParameter(CallerError):
    """A query parameter, header or field does not fit."""

    status = 422
    slug = "invalid-parameter"
    title = "A parameter is invalid"


class UnsafeFile(CallerError):
    """The file is built like an attack, or contradicts its own lengths."""

    status = 422
    slug = "unsafe-file"
    title = "The file is not safe to read"


class Unreadable(CallerError):
    """The content cannot be decoded."""

    status = 422
    slug = "unreadable"
    title = "The image cannot be decoded"


class UnsupportedTransferSyntax(CallerError):
    """No decoder is offered for this DICOM transfer syntax."""

    status = 422
    slug = "unsupported-transfer-syntax"
    title = "Unsupported transfer syntax"


class NoPixels(CallerError):
    """The instance has no pixel data (SR, RT plan, waveform, ...)."""

    status = 422
    slug = "no-pixels"
    title = "The instance has no image"


class ImageTooLarge(CallerError):
    """More pixels, frames, elements or nesting than are taken."""

    status = 422
    slug = "image-too-large"
    title = "The image is too large"


class WrongModality(CallerError):
    """The model was not made for images of this modality."""

    status = 422
    slug = "wrong-modality"
    title = "The model does not take this modality"


class WrongBodyPart(CallerError):
    """The model was not made for images of this part of the body."""

    status = 422
    slug = "wrong-body-part"
    title = "The model does not take this part of the body"


class NotSanitizable(CallerError):
    """Identifiers cannot be removed with certainty, so nothing leaves."""

    status = 422
    slug = "not-sanitizable"
    title = "The image cannot be de-identified with certainty"


class TooCostly(CallerError):
    """Decoding or sanitizing outlasts the time that one file may take."""

    status = 422
    slug = "too-costly"
    title = "The file takes too long to process"


class RetentionRefused(CallerError):
    """Records of the audit log must not be given up now."""

    status = 409
    slug = "retention-refused"
    title = "The records must be kept"


class QuotaExceeded(CallerError):
    """A window or the concurrency limit is used up."""

    status = 429
    slug = "quota-exceeded"
    title = "The limit is used up"

    @classmethod
    def problem_type(cls) -> str:
        """The registered type of draft-ietf-httpapi-ratelimit-headers."""
        return "https://iana.org/assignments/http-problem-types#quota-exceeded"


class DependencyError(GatewayError):
    """A part behind the gateway is sick: 503 with ``Retry-After``."""

    status = 503
    slug = "dependency-unavailable"
    title = "A part of the service is unavailable"

    def __init__(self, detail: str = "", *, retry_after: float | None = 5.0, **members: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **members)


class StoreUnavailable(DependencyError):
    """The key store cannot be read."""

    slug = "store-unavailable"
    title = "The key store is unavailable"


class AuditUnavailable(DependencyError):
    """The audit store cannot be written: no record, so no answer."""

    slug = "audit-unavailable"
    title = "The audit store is unavailable"


class ReceiverUnavailable(DependencyError):
    """The receiver of audit messages takes none."""

    slug = "receiver-unavailable"
    title = "The receiver of audit messages is unavailable"


class LimiterUnavailable(DependencyError):
    """The windows cannot be counted and the policy is to refuse."""

    slug = "limiter-unavailable"
    title = "The rate limiter is unavailable"


class ModelUnavailable(DependencyError):
    """The model server, or the model, is not ready."""

    slug = "model-unavailable"
    title = "The model is unavailable"


class SwitchedOff(DependencyError):
    """An operator has switched off the service or the model."""

    slug = "switched-off"
    title = "Switched off by the operator"


class ShuttingDown(DependencyError):
    """This process is ending."""

    slug = "shutting-down"
    title = "This process is ending"


class Overloaded(DependencyError):
    """No room for another request right now."""

    slug = "overloaded"
    title = "The service is busy"

    @classmethod
    def problem_type(cls) -> str:
        """The registered type of draft-ietf-httpapi-ratelimit-headers."""
        return "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


class BadModelAnswer(GatewayError):
    """The model server's answer has the wrong shape, type, or is not finite."""

    status = 502
    slug = "bad-model-answer"
    title = "The model's answer is not usable"


class DeadlineExceeded(GatewayError):
    """The request's deadline passed."""

    status = 504
    slug = "deadline-exceeded"
    title = "The deadline passed"


class InternalError(GatewayError):
    """A defect. The log has the traceback under the same correlation ID; the caller learns nothing of it."""
