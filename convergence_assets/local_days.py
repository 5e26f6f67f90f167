"""Days of a timezone: when one is over, and which one ended last."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@lru_cache(maxsize=65536)
def day_end(day: date, timezone: str) -> datetime:
    """The moment at which a day is over (UTC): the next one's midnight, the first of two where it occurs twice."""
    return datetime.combine(day + _DAY, time(), ZoneInfo(timezone)).astimezone(UTC)


def last_finished_day(timezone: str, now: datetime) -> date:
    """The newest day that is over at `now`."""
    return now.astimezone(ZoneInfo(timezone)).date() - _DAY


def why_unfinished(last: date, timezone: str, now: datetime) -> str | None:
    """Why days up to `last` are refused where it is not over at `now`; None where it is."""
    finished = last_finished_day(timezone, now)
    if last <= finished:
        return None
    return f"{last} is not over yet in {timezone}; the last day is {finished}."
