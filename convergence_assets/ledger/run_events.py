"""What the follower reports of runs to its observers."""

from dataclasses import dataclass
from datetime import date

from convergence_assets.control.runs import IndexedRun


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not pass; `partitions` are the days it failed for, `examples` are masked where necessary."""

    name: str
    column: str | None
    observed_value: object
    unexpected_count: int | None
    examples: tuple[object, ...]
    partitions: tuple[str, ...]


@dataclass(frozen=True)
class ChecksFailed:
    """The failed checks of one severity of one table in one run; `held_back` are the days that were not published."""

    run: IndexedRun
    table: str
    severity: str
    checks: tuple[FailedCheck, ...]
    held_back: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Days of a table that a run published."""

    run: IndexedRun
    table: str
    days: tuple[date, ...]


@dataclass(frozen=True)
class RunEnded:
    """A run that is over (`run.status` is succeeded, failed or canceled); it may be one of several pipelines' parts.

    `table` is the first step that failed, and `message` that of its first failed attempt: the user's own error, not a
    wrapper's.
    """

    run: IndexedRun
    table: str | None
    error_class: str | None
    message: str | None


@dataclass(frozen=True)
class QuotaRefused:
    """A step's statement that the warehouse refused for a quota or a rate, also where the step is retried."""

    run: IndexedRun
    table: str
    error_class: str
    message: str


RunEvent = ChecksFailed | Published | QuotaRefused | RunEnded
