"""The partitions a run covers, and the moments at which its local days begin and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import dagster as dg


def days_of(first: date, last: date) -> list[date]:
    """The days [first, last]."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@dataclass(frozen=True)
class Window:
    """The partitions a run covers, oldest first, and for each its local day as [start, end) in UTC."""

    days: tuple[date, ...]
    bounds: Mapping[date, tuple[datetime, datetime]]

    @classmethod
    def of(cls, partitions_def: "dg.TimeWindowPartitionsDefinition", keys: Sequence[str]) -> "Window":
        windows = {date.fromisoformat(k): partitions_def.time_window_for_partition_key(k) for k in sorted(keys)}
        return cls(tuple(windows), {d: (w.start.astimezone(UTC), w.end.astimezone(UTC)) for d, w in windows.items()})

    @classmethod
    def local(cls, first: date, last: date, timezone: str) -> "Window":
        """The days [first, last] of a timezone."""
        days, zone = days_of(first, last), ZoneInfo(timezone)
        edges = [datetime.combine(day, time(), zone).astimezone(UTC) for day in (*days, last + timedelta(days=1))]
        return cls(tuple(days), {day: (edges[n], edges[n + 1]) for n, day in enumerate(days)})

    @property
    def start(self) -> datetime:
        return self.bounds[self.days[0]][0]

    @property
    def end(self) -> datetime:
        return self.bounds[self.days[-1]][1]

    def __str__(self) -> str:
        return str(self.days[0]) if len(self.days) == 1 else f"{self.days[0]}...{self.days[-1]}"
