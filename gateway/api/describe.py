"""Around all steps: what the API's description (OpenAPI 3.1) says of bodies and of problems, for all routes alike."""

from __future__ import annotations

from typing import Any

from gateway.api.problems import MEDIA_TYPE
from gateway.errors import (
    BadModelAnswer,
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    DependencyError,
    Forbidden,
    GatewayError,
    InvalidParameter,
    MalformedBody,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
    UnsupportedMediaType,
)

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
EXAMPLE_ID = "6e4f2c9e-55a5-4d3c-9c57-0d4f6a6a2d51"
ALWAYS = (Unauthenticated, Forbidden, QuotaExceeded, DependencyError)
OF_BODIES = (MalformedBody, BodyTimeout, BodyTooLarge, UnsupportedMediaType, InvalidParameter)
OF_INFERENCE = (BadModelAnswer, DeadlineExceeded)
OF_RESOURCES = (NotFound, InvalidParameter)

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer <API key or token>"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457. Holds no value from the request.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The request's correlation ID, as in X-Request-ID"},
    },
    "additionalProperties": True,
}

TOKEN_REQUEST: dict[str, Any] = {
    "required": True,
    "description": "RFC 6749 §4.4.2 and RFC 7523 §2.2. Errors that RFC 6749 §5.2 has a code for are "
    "`application/json`, with `error` and `error_description` beside the members of a problem document.",
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {
                "type": "object",
                "required": ["grant_type", "client_assertion_type", "client_assertion"],
                "properties": {
                    "grant_type": {"type": "string", "const": "client_credentials"},
                    "client_assertion_type": {
                        "type": "string",
                        "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    },
                    "client_assertion": {"type": "string", "description": "A JWT: RS384 or ES384, good for 5 minutes"},
                    "scope": {"type": "string", "description": "Names with blanks between them; all if absent"},
                },
            }
        }
    },
}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request sent again with the same key is answered again, not inferred again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 130},
}

DONE_ONCE_KEY = IDEMPOTENCY_KEY | {
    "description": "The same request sent again with the same key is not done again: 409, which names what was made. "
    "The secret is told once"
}

TIME_LIMIT: dict[str, Any] = {
    "name": "Grpc-Timeout",
    "in": "header",
    "required": False,
    "description": "How long the caller will wait, from now on: up to 8 digits and a unit, as gRPC has it (`1500m` is "
    "1.5 s). What cannot be answered in that time is not begun",
    "schema": {"type": "string", "pattern": "^0*[1-9][0-9]*[HMSmun]$", "maxLength": 9},
}

MODEL_VERSION: dict[str, Any] = {
    "name": "X-Model-Version",
    "in": "header",
    "required": False,
    "description": "The version of the model that must answer; else the shares of its versions decide, for one patient "
    "always alike",
    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY: dict[str, Any] = {
    "required": True,
    "description": "One image, as the body itself or as the only part of a form, named `image`. "
    "Its type is found from its bytes; one that is declared and does not fit is refused (415).",
    "content": {
        "application/dicom": _BINARY,
        "image/jpeg": _BINARY,
        "image/png": _BINARY,
        "application/octet-stream": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
                "additionalProperties": False,
            }
        },
    },
}

_SAID_BESIDE: dict[str, Any] = {
    "deidentification": {
        "policy": "basic",
        "policy_digest": "a98796ec…",
        "methods": ["113100", "113101"],
        "actions": {"removed": 31, "uid": 6},
        "groups": {"0008": 14, "0010": 12, "0020": 4, "private": 7},
        "text_found": {},
        "frames_looked_at": 1,
        "regions_masked": 2,
        "masked_share": 0.0312,
        "seconds_text": 0.0741,
    },
    "warnings": [],
    "id": EXAMPLE_ID,
    "study": "2.25.113059749145936325402354257176981405696",
    "instance": "2.25.329800735698586629295641978511506172918",
}
_CLASSIFIED: dict[str, Any] = {
    "prediction": "Glioma",
    "confidence": 0.93,
    "latency_ms": 71.4,
    "task": "classification",
    "probabilities": {"Glioma": 0.93, "Meningioma": 0.04, "Pituitary": 0.02, "No Tumor": 0.01},
    "model": {"name": "brain_mri_resnet50", "version": "1", "digest": "5b2682e9…"},
    "frames": [],
}
_DETECTED: dict[str, Any] = {
    "prediction": "Nodule",
    "confidence": 0.81,
    "latency_ms": 624.7,
    "task": "detection",
    "image": {"rows": 2500, "columns": 2048},
    "model": {"name": "chest", "version": "1", "digest": "c04f1e77…"},
    "frames": [
        {
            "frame": 1,
            "prediction": "Nodule",
            "confidence": 0.81,
            "detections": [
                {
                    "label": "Nodule",
                    "score": 0.81,
                    "box": {"x_min": 1210.9, "y_min": 871.1, "x_max": 1296.9, "y_max": 964.8},
                }
            ],
        }
    ],
}
ANSWER: dict[str, Any] = {
    "description": "What the model says, in the form of its task, and what was removed before it was asked",
    "content": {
        "application/json": {
            "examples": {
                "classification": {"value": _CLASSIFIED | _SAID_BESIDE},
                "detection": {"value": _DETECTED | _SAID_BESIDE},
            }
        }
    },
}

_FIELD = {"schema": {"type": "string"}}
OBJECT: dict[str, Any] = {
    "description": "The object, de-identified, in the media type that it came in. "
    "`Accept: multipart/related` gets it as the first of two parts; the second one is the whole report.",
    "headers": {
        "Deidentification-Report": _FIELD
        | {
            "description": "What was done: a Dictionary (RFC 9651) of codes and counts; never a value. "
            "`cut` says that it would be too long whole. Not with multipart/related",
            "example": 'policy="basic", methods=("113100" "113101"), actions=("removed";n=31 "uid";n=6), '
            "regions_masked=2",
        },
        "Deidentification-Pseudonyms": _FIELD
        | {"description": "Stand-ins of patient, study, series and instance, as far as the object has them: likewise"},
        "Content-Digest": _FIELD | {"description": "SHA-256 of the body (RFC 9530)"},
        "Content-Disposition": _FIELD | {"description": "A file name made from the digest"},
    },
    "content": {
        **dict.fromkeys(("application/dicom", "image/jpeg", "image/png"), _BINARY),
        "multipart/related": {
            "schema": {
                "type": "object",
                "required": ["object", "report"],
                "properties": {
                    "object": {"type": "string", "format": "binary"},
                    "report": {
                        "type": "object",
                        "required": ["deidentification", "pseudonyms", "object"],
                        "properties": {
                            "deidentification": {"type": "object"},
                            "pseudonyms": {"type": "object"},
                            "object": {"type": "object", "description": "media_type, bytes, sha256"},
                        },
                    },
                },
            }
        },
    },
}


def problems(*kinds: type[GatewayError]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that can answer these."""
    by_status: dict[int, list[type[GatewayError]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(kinds) for status, kinds in sorted(by_status.items())}


def _response(kinds: list[type[GatewayError]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for kind in kinds:
        of_type = content.setdefault(getattr(kind, "media_type", MEDIA_TYPE), {"schema": _PROBLEM, "examples": {}})
        of_type["examples"][kind.slug] = {"value": kind().problem(EXAMPLE_ID)}
    return {"description": "; ".join(kind.title for kind in kinds), "content": content}
