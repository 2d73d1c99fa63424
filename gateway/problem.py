"""The root of all errors, and its problem document (RFC 9457). The errors themselves are in ``errors.py``."""

from __future__ import annotations

from typing import Any, ClassVar, Self

PROBLEM_TYPE_PREFIX = "urn:cordon:problem:"


class GatewayError(Exception):
    """The root. Carries everything that its problem document needs; survives pickling between processes.

    Args:
        detail: One sentence for the caller; no value from the request.
        retry_after: Seconds after which trying again is sensible, for the ``Retry-After`` header.
        members: Extension members of the problem document (RFC 9457 §3.2); JSON types only.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", *, retry_after: float | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.members = members

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detail, self.retry_after, self.members)

    @classmethod
    def problem_type(cls) -> str:
        """The problem's type URI; a registered one (IANA HTTP Problem Types) where there is one."""
        return PROBLEM_TYPE_PREFIX + cls.slug

    def problem(self, instance: str) -> dict[str, Any]:
        """The problem document. ``instance`` is the correlation ID of the request."""
        return {
            "type": self.problem_type(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
            "instance": f"urn:uuid:{instance}" if _is_uuid(instance) else f"urn:cordon:request:{instance}",
            **self.members,
        }

    def with_retry_after(self, seconds: float) -> Self:
        """The same error with a ``Retry-After``."""
        self.retry_after = seconds
        return self


def _rebuild(kind: type[GatewayError], detail: str, retry_after: float | None, members: dict[str, Any]) -> GatewayError:
    return kind(detail, retry_after=retry_after, **members)


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4
