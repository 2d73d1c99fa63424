"""Around steps 2 to 7: until when an answer is of use. One point in time, carried wherever work is done for it.

    the caller's    header Grpc-Timeout, from the request's head on     504, or 503 if it is the queue that is too long
    the plan's      policies/plans.yaml, once the body is in            504
    the server's    HTTP_DEADLINE_SECONDS, likewise                     504

The smallest holds. It goes to the worker process, which looks at it between steps, and to Triton as the time left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic

from gateway.errors import DeadlineExceeded

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Deadline:
    """A point in time. It may be handed to another process of this machine, whose clock is the same one (time(7)).

    Attributes:
        at: Seconds on the monotonic clock; infinite where there is no limit.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """That many seconds from now; no limit for None."""
        return cls() if seconds is None else cls(monotonic() + seconds)

    def or_after(self, *limits: float | None) -> Deadline:
        """The earliest of this one and of these, each in seconds from now."""
        return min(self, *(Deadline.after(limit) for limit in limits), key=lambda deadline: deadline.at)

    @property
    def left(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - monotonic()

    def check(self) -> float:
        """Seconds left. Raises DeadlineExceeded if there are none: what follows need not be begun."""
        left = self.left
        if left <= 0:
            raise passed()
        return left


NEVER = Deadline()


def passed() -> DeadlineExceeded:
    """The one wording for all places that find it out."""
    return DeadlineExceeded("The request's deadline passed before there was an answer", retry_after=RETRY_SECONDS)
