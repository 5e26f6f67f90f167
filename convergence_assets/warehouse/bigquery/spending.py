"""A cap on what all statements of this process may be billed for together, whoever sends them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from convergence_assets.warehouse.errors import BytesCapExceeded


@dataclass
class Spending:
    """Bytes: the most that may be billed, and what has been, by statements that failed or were cancelled too.

    `sent` is called when a job was sent, and is at work.
    """

    maximum: int
    billed: int = 0
    sent: Callable[[], None] = lambda: None

    @property
    def left(self) -> int:
        return max(0, self.maximum - self.billed)


_limits: list[Spending] = []


@contextmanager
def limited(spending: Spending) -> Iterator[Spending]:
    """Within it no statement may be billed for more than is left, and none is sent when nothing is."""
    _limits.append(spending)
    try:
        yield spending
    finally:
        _limits.remove(spending)


def capped(maximum: int) -> int:
    """What one statement may be billed for, of at most `maximum`; raises `BytesCapExceeded` where nothing is left."""
    for spending in _limits:
        if not spending.left:
            raise BytesCapExceeded(
                f"{spending.billed:,} bytes were billed of {spending.maximum:,} for all statements together"
            )
        maximum = min(maximum, spending.left)
    return maximum


def announce() -> None:
    """Tell that a job was sent."""
    for spending in _limits:
        spending.sent()


def record(job: Any) -> None:
    """Count a job of the client's that has ended."""
    for spending in _limits:
        spending.billed += getattr(job, "total_bytes_billed", None) or 0
