"""Steps 2 to 7: bounds on a file, what is removed, which models are offered, the tamper-evident log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.settings.base import MIN_SECRET_BYTES, Concern


class IngestSettings(Concern):
    """Bounds on one file, enforced before and while it is decoded."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    max_frame_pixels: int = Field(25_000_000, ge=1, description="Largest Rows x Columns")
    max_total_pixels: int = Field(50_000_000, ge=1, description="Largest Rows x Columns x selected frames")
    max_frames: int = Field(16, ge=1, description="Most frames of one instance that are classified in one request")
    max_elements: int = Field(50_000, ge=1, description="Most data elements, all depths together")
    max_depth: int = Field(32, ge=1, description="Deepest nesting of sequences")
    max_inflated_bytes: int = Field(128 * 2**20, ge=1, description="Largest deflated dataset, once inflated")
    max_inflate_ratio: int = Field(100, ge=1, description="Largest ratio of inflated to deflated size")
    worker_processes: int = Field(0, ge=0, description="Processes that decode and de-identify; 0 is one a core")
    worker_seconds: float = Field(
        4.0, gt=0, description="Longest one file may occupy such a process; then it is killed"
    )
    max_object_frames: int = Field(
        512, ge=1, description="Most frames of an object that is given back; all of them are looked at"
    )
    object_seconds: float = Field(
        25.0, gt=0, description="Longest an object that is given back may occupy such a process; then it is killed"
    )
    worker_memory_bytes: int = Field(3 * 2**30, ge=2**29, description="Address space of such a process")


class DeidSettings(Concern):
    """What is removed, and the key of the pseudonyms."""

    model_config = SettingsConfigDict(env_prefix="DEID_")

    key: SecretStr = Field(SecretStr(""), description="Secret of UIDs and pseudonyms; 32 bytes or more")
    policy: Path = Field(
        Path("policies/deid/basic.yaml"), description="The installation's own de-identification policy"
    )


class ModelSettings(Concern):
    """Which models are offered."""

    model_config = SettingsConfigDict(env_prefix="MODELS_")

    policy: Path = Field(Path("policies/models.yaml"), description="Models, their input, labels and modalities")
    repository: Path = Field(Path("model_repository"), description="Triton's model repository")
    shadow_calls: int = Field(
        1,
        ge=0,
        le=64,
        description="Most copies of requests that run for shadows at a time, a process; more are dropped",
    )
    cache_seconds: int = Field(
        0, ge=0, le=7 * 86_400, description="How long what a model said of a tensor is kept in Redis; 0: not at all"
    )
    cache_bytes: int = Field(64 * 2**20, ge=2**20, description="Most memory of Redis that this takes")


class AuditSettings(Concern):
    """The tamper-evident log."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    chain_key: SecretStr = Field(SecretStr(""), description="Secret of the hash chain; 32 bytes or more")
    chain_keys_previous: SecretStr = Field(
        SecretStr(""), description="The chain's keys before this one, one a line, the oldest first"
    )
    timeout_seconds: float = Field(2.0, gt=0, description="Longest wait for a record to be durable")
    queue_size: int = Field(10_000, ge=1, description="Most events that wait for the store, a process; then 503")
    signing_key: SecretStr = Field(
        SecretStr(""), description="Secret of the checkpoints' signatures; empty: derived from the chain key"
    )
    checkpoint_every: int = Field(1000, ge=1, description="Records after which a checkpoint is signed")
    checkpoint_seconds: float = Field(10.0, gt=0, description="Longest a record may wait for a checkpoint over it")
    checkpoint_file: str = Field(
        "", description="Second place of the checkpoints; empty: beside a SQLite file, and always a line in the log"
    )
    public_keys_previous: str = Field(
        "", description="Public keys of earlier signing keys (cordon audit public-key), with blanks between them"
    )
    address: Literal["clear", "hash"] = Field(
        "clear", description="Callers' addresses on record: in clear, or as a keyed hash"
    )
    source: str = Field(
        "cordon", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="This installation's name in exported audit messages"
    )
    retention_policy: Path = Field(Path("policies/retention.yaml"), description="How long records are kept")

    @model_validator(mode="after")
    def _signing_key_fits(self) -> Self:
        signing = self.signing_key.get_secret_value()
        if signing and len(signing.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"AUDIT_SIGNING_KEY needs {MIN_SECRET_BYTES} bytes or more, or none")
        if signing and signing == self.chain_key.get_secret_value():
            raise ValueError("AUDIT_SIGNING_KEY must differ from AUDIT_CHAIN_KEY")
        earlier = [line.strip() for line in self.chain_keys_previous.get_secret_value().splitlines() if line.strip()]
        if any(len(key.encode()) < MIN_SECRET_BYTES for key in earlier):
            raise ValueError(f"AUDIT_CHAIN_KEYS_PREVIOUS needs keys of {MIN_SECRET_BYTES} bytes or more, one a line")
        if any(not re.fullmatch("[0-9a-f]{64}", key) for key in self.public_keys_previous.split()):
            raise ValueError("AUDIT_PUBLIC_KEYS_PREVIOUS needs keys of 64 hexadecimal digits")
        return self
