"""When a request is repeated, and after which time."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .errors import ProblemError

# 502 and 504 come from proxies as well. The server's own have a problem code, and a repetition would take as long.
_OF_PROXIES = {502: "http_502", 504: "http_504"}


@dataclass(frozen=True)
class Retry:
    """How requests are repeated that the server refused for its load, or that did not reach it."""

    attempts: int = 5
    """Most attempts, the first one included."""
    initial_s: float = 0.5
    """Longest wait before the second attempt; it doubles with each further one."""
    longest_s: float = 30.0
    """Longest wait that this library chooses."""
    retry_after_max_s: float = 120.0
    """Longest `Retry-After` that is waited for. A longer one, such as that of a daily quota, is an error at once."""

    def wait_s(self, attempt: int, retry_after_s: float | None = None) -> float | None:
        """Returns the seconds before the attempt after number `attempt`, from 1; `None`: there is none."""
        if attempt >= self.attempts:
            return None
        # Random, so that clients that were refused together do not return together.
        if retry_after_s is not None:
            if retry_after_s > self.retry_after_max_s:
                return None
            return retry_after_s + random.uniform(0, min(1.0, retry_after_s / 10))
        return random.uniform(0, min(self.longest_s, self.initial_s * 2 ** (attempt - 1)))

    def after(self, attempt: int, problem: ProblemError) -> float | None:
        """Returns the seconds before the next attempt after a problem; `None`: a repetition would not help."""
        if problem.status in (429, 503) or _OF_PROXIES.get(problem.status) == problem.code:
            return self.wait_s(attempt, problem.retry_after_s)
        return None


NO_RETRY = Retry(attempts=1)
"""Every request is sent once."""
