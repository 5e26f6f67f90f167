"""A moment, or a day, as a person types it: a date, a timestamp, or how long ago."""

import re
from datetime import UTC, date, datetime, time, timedelta

import typer

EXPECTED = (
    "a date like 2026-10-01, a moment like 2026-10-01T14:30 (UTC where it names no zone), or how long ago: 2h, 3d"
)
_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime, option: str) -> datetime:
    """In UTC; a date is its beginning. Raises `typer.BadParameter` naming `option`."""
    ago = _AGO.fullmatch(text.strip().lower())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        parsed = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{option} {text!r}; expected {EXPECTED}") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def day_of(text: str, option: str) -> date:
    """A day; raises `typer.BadParameter` naming `option`."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r}: expected a date like 2026-10-01") from None


def end_of(text: str, now: datetime, option: str) -> datetime:
    """As `moment`, but a date is its end: the next midnight in UTC."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return moment(text, now, option)
    return datetime.combine(day + timedelta(days=1), time(), UTC)
