"""Step 1: who may come in, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.settings.base import MIN_SECRET_BYTES, Concern

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class AdmissionSettings(Concern):
    """Who may come in, and how often."""

    model_config = SettingsConfigDict(env_prefix="ADMISSION_")

    key_pepper: SecretStr = Field(SecretStr(""), description="Secret under which API keys are hashed; 32 bytes or more")
    key_pepper_previous: SecretStr = Field(
        SecretStr(""), description="The pepper before this one, until every key was used once or rotated"
    )
    key_cache_seconds: float = Field(0.5, ge=0, le=1, description="Longest a key may be trusted without a look at SQL")
    idempotency_seconds: int = Field(
        86_400, ge=60, le=7 * 86_400, description="How long an answer is kept for its Idempotency-Key"
    )
    idempotency_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description="Most memory of Redis that kept answers take; never above 3/4 of its maxmemory",
    )
    idempotency_tenant_bytes: int = Field(
        32 * 2**20, ge=2**20, description="Most of it that one tenant's take; about 2 KiB an answer"
    )
    usage_seconds: float = Field(
        1.0, gt=0, le=60, description="How often usage is written; a killed process loses so much of it"
    )
    usage_days: int = Field(400, ge=1, le=3660, description="How long usage is kept")
    access_policy: Path = Field(Path("policies/access.yaml"), description="Roles, and the scope of each route")
    plans_policy: Path = Field(Path("policies/plans.yaml"), description="Windows and concurrency of each plan")
    limiter_failure: Literal["local", "closed", "open"] = Field(
        "local", description="When Redis is down: count in the process, refuse, or let all in (never in production)"
    )


class OAuthSettings(Concern):
    """Tokens for clients that come with a signed assertion; none are given without a signing key."""

    model_config = SettingsConfigDict(env_prefix="OAUTH_")

    issuer: str = Field("", description="https:// URL of this gateway as callers know it; tokens are of and for it")
    signing_key: SecretStr = Field(
        SecretStr(""), description="Secret that the key of the tokens is made from; 32 bytes or more"
    )
    signing_key_previous: SecretStr = Field(
        SecretStr(""), description="Another one that is good too: the one before it, or the next; see docs/admission.md"
    )
    token_seconds: int = Field(300, ge=60, le=3600, description="How long a token is good for")
    ca_certificates: str = Field(
        "", description="PEM file of CA certificates to trust for key sets, besides the public ones"
    )
    private_hosts: str = Field(
        "", description="Hosts whose addresses need not be public for clients' key sets, with blanks between them"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        keys = [key.get_secret_value() for key in (self.signing_key, self.signing_key_previous)]
        for name, key in zip(("OAUTH_SIGNING_KEY", "OAUTH_SIGNING_KEY_PREVIOUS"), keys, strict=True):
            if key and len(key.encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"{name} needs {MIN_SECRET_BYTES} bytes or more, or none")
        if keys[1] and (not keys[0] or keys[0] == keys[1]):
            raise ValueError("OAUTH_SIGNING_KEY_PREVIOUS goes with another OAUTH_SIGNING_KEY")
        if keys[0]:
            url = urlsplit(self.issuer)
            local = url.scheme == "http" and url.hostname in _LOOPBACK
            if (
                not url.hostname
                or url.query
                or url.fragment
                or "@" in url.netloc
                or not (url.scheme == "https" or local)
            ):
                raise ValueError("OAUTH_ISSUER must be the gateway's https:// URL when OAUTH_SIGNING_KEY is set")
        return self
