"""When a day becomes due: cron in the tenant's timezone, and a jitter where many tenants share one minute."""

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

PIPELINES_A_MINUTE = 40
LONGEST_JITTER_MINUTES = 30

_DAY = timedelta(days=1)


def due_through(cron: str, timezone: str, now: datetime) -> date:
    """The last local day that is due at `now`: it had ended at the schedule's last tick."""
    return _last_tick(cron, timezone, now.replace(second=0, microsecond=0)) - _DAY


@lru_cache(maxsize=4096)
def due_at(cron: str, timezone: str, day: date) -> datetime:
    """When a local day becomes due: the schedule's first tick after its end (UTC)."""
    end = datetime.combine(day + _DAY, time(), ZoneInfo(timezone))
    tick: datetime = next(CronSim(cron, end - timedelta(seconds=1)))
    return tick.astimezone(UTC)


def jitter(tenant_id: str, pipelines_of_the_minute: int) -> timedelta:
    """How much later than its schedule a tenant's day is requested: whole minutes, the same every day; none where at
    most `PIPELINES_A_MINUTE` pipelines share the schedule."""
    spread = min((pipelines_of_the_minute - 1) // PIPELINES_A_MINUTE, LONGEST_JITTER_MINUTES)
    digest = hashlib.blake2b(tenant_id.encode(), digest_size=8).digest()
    return timedelta(minutes=int.from_bytes(digest) % (spread + 1))


@lru_cache(maxsize=4096)
def _last_tick(cron: str, timezone: str, minute: datetime) -> date:
    # One minute later and backwards: a tick in the current minute counts.
    local = (minute + timedelta(minutes=1)).astimezone(ZoneInfo(timezone))
    tick: datetime = next(CronSim(cron, local, reverse=True))
    return tick.date()
