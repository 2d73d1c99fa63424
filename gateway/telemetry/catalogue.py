"""Beside all steps: every metric that there is, as a table: ``docs/observability.md`` is made from it.

A label's values are names of ours (routes' templates, steps, problems, models of the catalog), never a caller's words,
and each metric has a most of label sets: what comes beyond it is counted under ``other``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["sum", "max", "min"]

OTHER = "other"
"""The value of every label of what comes beyond a metric's most label sets."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
IMAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
STEPS = ("admit", "queue", "ingest", "deid", "preprocess", "infer", "respond", "audit")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        name: As it is exported.
        kind: As Prometheus names kinds.
        help: One sentence; the unit, where the name does not say it.
        labels: Names of its labels.
        most: Most label sets; 1 without labels.
        buckets: Of a histogram.
        across: What the value of a gauge is over the gateway's processes. Counters and histograms are summed.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    most: int = 1
    buckets: tuple[float, ...] = SECONDS
    across: Across = "max"


def _counter(name: str, text: str, *labels: str, most: int = 1) -> Family:
    return Family(name, "counter", text, labels, most)


def _seconds(name: str, text: str, *labels: str, most: int = 1) -> Family:
    return Family(name, "histogram", text, labels, most)


def _gauge(name: str, text: str, *labels: str, most: int = 1, across: Across = "max") -> Family:
    return Family(name, "gauge", text, labels, most, across=across)


REQUESTS = _counter(
    "cordon_http_requests_total",
    "Requests that have ended, by route and class of status; `gone` where the caller had left.",
    "route", "status", most=600,
)  # fmt: skip
REQUEST_SECONDS = _seconds(
    "cordon_http_request_seconds", "From a request's head to the end of its answer; without the denied.", "route",
    most=120,
)  # fmt: skip
RUNNING = _gauge("cordon_http_requests_running", "Requests that are being served.", across="sum")
PROBLEMS = _counter(
    "cordon_http_problems_total", "Errors answered, by the problem's name; `overloaded` is what was shed.", "problem",
    most=80,
)  # fmt: skip
RECEIVED = _counter("cordon_http_received_bytes_total", "Bytes of bodies that were read.")
BODY_BYTES = _gauge("cordon_body_bytes", "Memory set aside for bodies and objects given back.", across="sum")
BODY_BYTES_MOST = _gauge("cordon_body_bytes_most", "The most of it; beyond it requests are shed.", across="sum")
DENIALS = _counter(
    "cordon_denials_total",
    "Requests refused at the door, by the policy that refused them and why.",
    "policy", "reason", most=64,
)  # fmt: skip
BREAK_GLASS = _counter("cordon_break_glass_requests_total", "Requests admitted with a key for an emergency.")

STEP_SECONDS = _seconds("cordon_step_seconds", "Time in a step of the pipeline; `queue` is the wait for a decoder.",
    "step", most=16)  # fmt: skip

OBJECTS = _counter("cordon_deid_objects_total", "Objects de-identified, by media type.", "media_type", most=8)
ELEMENTS = _counter("cordon_deid_elements_total", "Data elements and segments, by what was done to them.", "action",
    most=32)  # fmt: skip
IDENTIFIERS = _counter("cordon_deid_text_identifiers_total", "Identifiers taken out of free text, by kind.", "kind",
    most=32)  # fmt: skip
LOOKED_AT = _counter("cordon_deid_frames_looked_at_total", "Frames that the text detector looked at.")
FRAMES_MASKED = _counter("cordon_deid_frames_masked_total", "Frames in which text was masked.")
REGIONS_MASKED = _counter("cordon_deid_regions_masked_total", "Regions of text that were masked.")
LOOK_SECONDS = _seconds("cordon_deid_look_seconds", "Time that the look for text took, an object.")

DECODERS = _gauge("cordon_decoders", "Processes that may decode and de-identify.", across="sum")
DECODERS_BUSY = _gauge("cordon_decoders_busy", "Those at work.", across="sum")
DECODER_QUEUE = _gauge("cordon_decoder_queue", "Uploads that wait for a decoder.", across="sum")
QUEUE_SECONDS = _gauge("cordon_queue_seconds", "How long an upload that came now would wait, by what is known.")
TURNED_AWAY = _counter("cordon_turned_away_total",
    "Requests shed because they would have waited too long for a decoder or a model.")  # fmt: skip
DECODERS_ENDED = _counter("cordon_decoders_ended_total",
    "Decoders that had to be replaced: killed when overdue, broken by a file, or left by their caller.",
    "cause", most=8)  # fmt: skip

INFERENCE_IMAGES = Family("cordon_inference_images", "histogram", "Images that a request sent to the model server.",
    ("model", "version"), 64, IMAGES)  # fmt: skip
INFERENCE_SECONDS = _seconds("cordon_inference_seconds", "Time from the call of the model server to its answer.",
    "model", "version", most=64)  # fmt: skip
SHADOW_COPIES = _counter("cordon_shadow_copies_total",
    "Copies of requests for a version on trial, by outcome: `same`, `different`, `failed`, or `dropped` unsent.",
    "model", "version", "outcome", most=256)  # fmt: skip
CACHED = _counter("cordon_cached_answers_total", "Answers of a model that were kept from an earlier request.", "model",
    "version", most=64)  # fmt: skip
AT_SERVER = _gauge("cordon_inference_images_running", "Images at the model server.", "model", most=64,
    across="sum")  # fmt: skip
BREAKER = _gauge("cordon_breaker",
    "1 for the state of a model's circuit breaker: `closed`, `open`, or `half-open` while it is tried.",
    "model", "version", "state", most=192)  # fmt: skip
MODEL_UP = _gauge("cordon_model_up", "1 while the model server has the model loaded and it answers.", "model", most=64,
    across="min")  # fmt: skip
MODEL_INFO = _gauge("cordon_model_info", "1 for each version of a model that is offered, with its weights' SHA-256.",
    "model", "version", "digest", most=64)  # fmt: skip

DEPENDENCY_UP = _gauge("cordon_dependency_up", "1 while a dependency answers.", "dependency", most=16, across="min")
LIMITER_MODE = _gauge("cordon_limiter_mode",
    "1 for how limits are counted: `shared` in Redis; `local`, `closed` or `open` while it is away.",
    "mode", most=8)  # fmt: skip
RECOVERIES = _counter(
    "cordon_limiter_recoveries_total",
    "Times that a Redis which had lost windows, or whose clock was set, was told them.",
)
CHANGES_HEARD = _gauge(
    "cordon_changes_heard", "1 while changes of keys and switches come by message; else within half a second.",
    across="min",
)  # fmt: skip

AUDIT_WAITING = _gauge("cordon_audit_waiting_events", "Events that are not durable yet.", across="sum")
AUDIT_LAG = _gauge("cordon_audit_lag_seconds", "How long the oldest of them has waited.")
UNSEALED = _gauge(
    "cordon_audit_unsealed_seconds", "How long the oldest record without a checkpoint over it has waited."
)
CHECKPOINT_TIME = _gauge("cordon_audit_checkpoint_timestamp_seconds", "When this gateway signed its last checkpoint.")
CHAIN = _gauge("cordon_audit_chain", "1 for what the last verification of the log's newest part found.", "state",
    most=4)  # fmt: skip
CHAIN_TIME = _gauge("cordon_audit_chain_timestamp_seconds", "When that was; 0 before the first.")

KEYS_EXPIRING = _gauge("cordon_keys_expiring", "API keys that are good now and end within that time.", "within", most=4)
KEYS_GOOD = _gauge("cordon_keys_good", "API keys that are good now.")

CERTIFICATE_END = _gauge("cordon_certificate_end_timestamp_seconds",
    "When a certificate in use ends: the listener's, and those for Redis and Triton; 0 if it cannot be read.",
    "certificate", most=8, across="min")  # fmt: skip

PROCESSES = _gauge("cordon_processes", "Gateway processes that serve.", across="sum")
PROCESSES_WANTED = _gauge("cordon_processes_wanted", "HTTP_WORKERS.")
STARTED = _gauge("cordon_start_timestamp_seconds", "When the youngest of them was started.")
VERSION = _gauge("cordon_build_info", "1 for the version that runs.", "version", most=4)
MEMORY = _gauge("cordon_memory_bytes", "Resident memory, by kind of process; shared pages are counted in each.", "of",
    most=4, across="sum")  # fmt: skip
MEMORY_MOST = _gauge("cordon_memory_limit_bytes", "Most memory that the container may have; 0 without a limit.")
MEMORY_USED = _gauge("cordon_memory_used_bytes", "What of it is used, without caches that can be dropped.")
DISK_FREE = _gauge("cordon_disk_free_ratio", "Free share of the file system that holds SQLite or the checkpoints.",
    across="min")  # fmt: skip
LOOP_LAG = _gauge("cordon_event_loop_lag_seconds", "How much later than asked a process woke, the worst of a second.")
SAMPLED = _gauge("cordon_sampled_timestamp_seconds", "When the gauges were read last.", across="min")
SAMPLING_FAILED = _counter("cordon_sampling_failed_total", "Gauges that could not be read, by group.", "group", most=16)

FAMILIES: tuple[Family, ...] = tuple(value for value in globals().values() if isinstance(value, Family))
"""All, in the order of this module."""
