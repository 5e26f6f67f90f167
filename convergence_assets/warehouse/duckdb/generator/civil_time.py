"""Moments as a calendar and a clock show them, in the years 0 to 10000."""

from datetime import date
from typing import NamedTuple

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_SECOND, _DAY = 1_000_000, 86_400_000_000
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_FIRST_ORDINAL, _LAST_ORDINAL, _EPOCH_ORDINAL = 1, date.max.toordinal(), date(1970, 1, 1).toordinal()


class Civil(NamedTuple):
    """A moment as a calendar and a clock show it, its offset from UTC and its seconds since 1970."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    micro: int
    offset: int
    epoch: int
    weekday: int
    """0 is Sunday."""
    yearday: int
    """0 is the first of January."""
    iso_year: int
    iso_week: int


def civil(local: int, instant: int) -> Civil:
    """The moment of which these are the local time and the instant. An offset with seconds loses them."""
    offset = (local - instant) // _SECOND
    offset = int(offset / 60) * 60
    days, micros = divmod(instant + offset * _SECOND, _DAY)
    ordinal, years = days + _EPOCH_ORDINAL, 0
    if ordinal < _FIRST_ORDINAL:
        ordinal, years = ordinal + _CYCLE_DAYS, -_CYCLE_YEARS
    elif ordinal > _LAST_ORDINAL:
        ordinal, years = ordinal - _CYCLE_DAYS, _CYCLE_YEARS
    day = date.fromordinal(ordinal)
    iso = day.isocalendar()
    seconds, micro = divmod(micros, _SECOND)
    return Civil(
        day.year + years, day.month, day.day, seconds // 3600, seconds // 60 % 60, seconds % 60, micro, offset,
        instant // _SECOND, day.isoweekday() % 7, day.timetuple().tm_yday - 1, iso.year + years, iso.week,
    )  # fmt: skip


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Days since 1970; raises `ValueError` where there is no such day. Years are 0 to 10000."""
    shift = 1 if year < 1 else -1 if year > 9999 else 0
    return date(year + shift * _CYCLE_YEARS, month, day).toordinal() - shift * _CYCLE_DAYS - _EPOCH_ORDINAL
