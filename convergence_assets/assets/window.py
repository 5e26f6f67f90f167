"""The partitions a run covers, and the moments at which its local days begin and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Window:
    """The partitions a run covers, oldest first, and for each its local day as [start, end) in UTC."""

    days: tuple[date, ...]
    bounds: Mapping[date, tuple[datetime, datetime]]

    @classmethod
    def of(cls, partitions_def: "dg.TimeWindowPartitionsDefinition", keys: Sequence[str]) -> "Window":
        windows = {date.fromisoformat(k): partitions_def.time_window_for_partition_key(k) for k in sorted(keys)}
        return cls(tuple(windows), {d: (w.start.astimezone(UTC), w.end.astimezone(UTC)) for d, w in windows.items()})

    @property
    def start(self) -> datetime:
        return self.bounds[self.days[0]][0]

    @property
    def end(self) -> datetime:
        return self.bounds[self.days[-1]][1]

    def __str__(self) -> str:
        return str(self.days[0]) if len(self.days) == 1 else f"{self.days[0]}...{self.days[-1]}"
