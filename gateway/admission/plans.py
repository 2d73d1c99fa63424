"""Step 1 of 7: the plans of ``policies/plans.yaml``: how much a caller may ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from gateway.admission.policy_file import Strict, load_policy
from gateway.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INFLIGHT = "inflight"
"""Name under which a plan's concurrency shows in headers and problems."""

_DAY_SECONDS = 86_400
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Window(Strict):
    """At most ``limit`` requests in any stretch of ``seconds``.

    Counted in sub-buckets: the oldest one counts whole until it is over, so that no true window ever holds more than
    the limit. The price is that a request is held for up to one sub-bucket longer: 1/60 of the window, 1/24 of a day.

    Attributes:
        name: Shown to the caller.
        limit: Requests; one may cost more than 1.
        seconds: Length. Whole seconds in a policy file.
    """

    name: _Name
    limit: StrictInt = Field(ge=1, le=10**9)
    seconds: float = Field(gt=0, le=31 * _DAY_SECONDS, strict=True)

    @property
    def buckets(self) -> int:
        """Into how many sub-buckets the window is cut."""
        return 24 if self.seconds >= _DAY_SECONDS else 60

    @property
    def bucket_us(self) -> int:
        """Length of a sub-bucket in microseconds, rounded up: together they are never shorter than the window."""
        return math.ceil(self.seconds * 1_000_000 / self.buckets)


class Plan(Strict):
    """What a key on this plan may ask for.

    Attributes:
        description: For whom it is.
        windows: All of them hold at once.
        concurrency: Requests running at once; None is unbounded.
        shadow: Evaluate and report, but refuse nothing: to try a plan before it is put into force.
    """

    description: str = ""
    windows: tuple[Window, ...] = ()
    concurrency: StrictInt | None = Field(default=None, ge=1, le=100_000)
    shadow: StrictBool = False

    @model_validator(mode="after")
    def _tell_windows_apart(self) -> Self:
        names = [window.name for window in self.windows]
        if len(set(names)) < len(names) or INFLIGHT in names:
            raise ValueError(f"windows need different names, none of them {INFLIGHT!r}")
        if len({window.seconds for window in self.windows}) < len(names):
            raise ValueError("windows need different lengths")
        return self

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

    def __contains__(self, name: object) -> bool:
        return name in self._plans

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)
