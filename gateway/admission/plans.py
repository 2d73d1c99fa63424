"""Step 1 of 7: the plans of ``policies/plans.yaml``: how much a caller may ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self, TypeAlias

from pydantic import Field, StrictBool, StrictInt, model_validator

from gateway.admission.policy_file import Strict, load_policy
from gateway.admission.server_clock import LATE_US, SHARP_US, SLEW
from gateway.errors import Forbidden, InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Limits: TypeAlias = tuple[tuple[str, int], ...]
"""Limits of a key's own, in place of its plan's: name of the window, or ``inflight``, and the number; by name."""

INFLIGHT = "inflight"
"""Name under which a plan's concurrency shows in headers and problems."""

_DAY_SECONDS = 86_400
_MAX_LIMIT = 10**9
_MAX_CONCURRENCY = 100_000
_MAX_MERGED = 10_000
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Window(Strict):
    """At most ``limit`` requests in any stretch of ``seconds``.

    Counted in sub-buckets: the oldest one counts whole until it is over, so that no true window ever holds more than
    the limit. The price is that a request is held for up to one sub-bucket longer: 1/60 of the window, 1/24 of a day.
    All of them together are a little longer than the window, by what a clock may be wrong without being noticed.

    Attributes:
        name: Shown to the caller.
        limit: Requests; one may cost more than 1.
        seconds: Length. Whole seconds in a policy file.
    """

    name: _Name
    limit: StrictInt = Field(ge=1, le=_MAX_LIMIT)
    seconds: float = Field(gt=0, le=31 * _DAY_SECONDS, strict=True)

    @property
    def buckets(self) -> int:
        """Into how many sub-buckets the window is cut."""
        return 24 if self.seconds >= _DAY_SECONDS else 60

    @property
    def bucket_us(self) -> int:
        """Length of a sub-bucket in microseconds, rounded up."""
        return math.ceil((self.seconds * 1_000_000 * (1 + SLEW) + LATE_US + SHARP_US) / self.buckets)


class Plan(Strict):
    """What a key on this plan may ask for.

    Attributes:
        description: For whom it is.
        windows: All of them hold at once.
        concurrency: Requests running at once; None is unbounded.
        shadow: Evaluate and report, but refuse nothing: to try a plan before it is put into force.
        deadline_seconds: Longest that one request may take once its body is in; the server's own limit holds too.
    """

    description: str = ""
    windows: tuple[Window, ...] = ()
    concurrency: StrictInt | None = Field(default=None, ge=1, le=_MAX_CONCURRENCY)
    shadow: StrictBool = False
    deadline_seconds: float | None = Field(default=None, gt=0, le=3600)

    @model_validator(mode="after")
    def _tell_windows_apart(self) -> Self:
        names = [window.name for window in self.windows]
        if len(set(names)) < len(names) or INFLIGHT in names:
            raise ValueError(f"windows need different names, none of them {INFLIGHT!r}")
        if len({window.seconds for window in self.windows}) < len(names):
            raise ValueError("windows need different lengths")
        return self

    @property
    def limit_names(self) -> tuple[str, ...]:
        """What a key may have a limit of its own for."""
        concurrency = () if self.concurrency is None else (INFLIGHT,)
        return (*(window.name for window in self.windows), *concurrency)

    def with_limits(self, limits: Limits) -> Plan:
        """This plan with other numbers. A name that it does not have changes nothing: no key loses a limit by it."""
        numbers = {name: limit for name, limit in limits if name in self.limit_names}
        windows = tuple(
            window.model_copy(update={"limit": numbers.get(window.name, window.limit)}) for window in self.windows
        )
        return self.model_copy(update={"windows": windows, "concurrency": numbers.get(INFLIGHT, self.concurrency)})

    @property
    def unlimited(self) -> bool:
        """Whether there is nothing to count."""
        return not self.windows and self.concurrency is None


class _File(Strict):
    plans: dict[_Name, Plan] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole_seconds(self) -> Self:
        for name, plan in self.plans.items():
            for window in plan.windows:
                if not float(window.seconds).is_integer():  # the RateLimit-Policy header can name nothing shorter
                    raise ValueError(f"plans.{name}: window {window.name!r} needs whole seconds")
        return self


class Plans:
    """The plans by name."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self._plans = dict(plans)
        self._merged: dict[tuple[str, Limits], Plan] = {}

    @classmethod
    def load(cls, path: Path) -> Plans:
        """Read ``policies/plans.yaml``. Raises ValueError that names the file and each fault in it."""
        return cls(load_policy(path, _File).plans)

    def __getitem__(self, name: str) -> Plan:
        """The plan of that name. A key may outlive its plan, and must not become unlimited by it.

        Raises:
            Forbidden: No such plan.
        """
        try:
            return self._plans[name]
        except KeyError:
            raise Forbidden("The credential's plan is not offered: ask the operator for another") from None

    def of(self, name: str, limits: Limits) -> Plan:
        """The plan of that name with the limits of a key's own; the same object for the same question.

        Raises:
            Forbidden: No such plan.
        """
        if not limits:
            return self[name]
        merged = self._merged.get((name, limits))
        if merged is None:
            merged = self._merged[name, limits] = self[name].with_limits(limits)
            if len(self._merged) > _MAX_MERGED:
                del self._merged[next(iter(self._merged))]
        return merged

    def check(self, name: str, limits: Limits) -> None:
        """Refuse a plan, or limits in place of the plan's, that a key cannot be given.

        Raises:
            InvalidParameter: No such plan, the plan has no limit of that name, or the number does not fit.
        """
        if name not in self:
            raise InvalidParameter(f"No such plan; there are: {', '.join(sorted(self))}", parameter="plan")
        names = self[name].limit_names
        for limit, number in limits:
            if limit not in names:
                there_are = ", ".join(names) if names else "none, it is unlimited"
                raise InvalidParameter(f"The plan has no such limit; it has: {there_are}", parameter="limits")
            most = _MAX_CONCURRENCY if limit == INFLIGHT else _MAX_LIMIT
            if not 1 <= number <= most:
                raise InvalidParameter(f"A limit must be between 1 and {most}", parameter="limits")

    def __contains__(self, name: object) -> bool:
        return name in self._plans

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)
