"""How many requests a tenant may send, and how often an address may fail to authenticate."""

import ipaddress
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

PER_MINUTE, PER_HOUR = 100, 1000
ADMIN_PER_MINUTE, ADMIN_PER_HOUR = 300, 6000
FAILURES_PER_MINUTE, FAILURES_PER_HOUR = 10, 100
"""Of one client address."""
_REDIS_SECONDS = 0.25
_AWAY_SECONDS = 5.0
"""How long Redis is not tried again after it failed: each request would wait for it."""
_log = logging.getLogger(__name__)

Rules = tuple[RateLimitItem, ...]
TENANT: Rules = (RateLimitItemPerMinute(PER_MINUTE), RateLimitItemPerHour(PER_HOUR))
ADMIN: Rules = (RateLimitItemPerMinute(ADMIN_PER_MINUTE), RateLimitItemPerHour(ADMIN_PER_HOUR))
FAILURES: Rules = (RateLimitItemPerMinute(FAILURES_PER_MINUTE), RateLimitItemPerHour(FAILURES_PER_HOUR))


@dataclass(frozen=True)
class RateLimitStatus:
    """The status of the limit that is nearest: what it allows, what is left, and seconds until more is allowed."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    policy: str

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": self.policy,
        }


class Limits:
    """Counts in Redis where there is one, else in this process; a sliding window a rule.

    Where Redis does not answer, this process counts by itself until it does: no request is refused for it, and none is
    without a limit. `tenant`, `admin` and `failures` are the rules for tenants, the operator, and addresses without a
    valid key.
    """

    def __init__(
        self, redis_url: str | None = None, tenant: Rules = TENANT, admin: Rules = ADMIN, failures: Rules = FAILURES
    ) -> None:
        """Raises ValueError for a URL that is not one of Redis."""
        self.tenant, self.admin, self.failures = tenant, admin, failures
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SlidingWindowCounterRateLimiter(_redis(redis_url)) if redis_url else None
        self._away_since: float | None = None
        self._retry_at = 0.0

    def hit(self, rules: Rules, who: str) -> RateLimitStatus:
        """Count a request and return its sender's status; a refused one is not counted."""
        return self._call(_count_hit, rules, who)

    def status(self, rules: Rules, who: str) -> RateLimitStatus:
        """The status of `who`, without counting."""
        return self._call(_status, rules, who)

    def _call(
        self, function: Callable[[SlidingWindowCounterRateLimiter, Rules, str], RateLimitStatus], rules: Rules, who: str
    ) -> RateLimitStatus:
        if self._shared is not None and time.monotonic() >= self._retry_at:
            try:
                answer = function(self._shared, rules, who)
            except StorageError as error:
                self._note_failure(error)
            else:
                self._note_recovery()
                return answer
        return function(self._local, rules, who)

    def _note_failure(self, error: StorageError) -> None:
        now = time.monotonic()
        self._retry_at = now + _AWAY_SECONDS
        if self._away_since is None:
            self._away_since = now
            kind = type(error.storage_error).__name__
            _log.error("limits: Redis does not answer (%s); each process counts by itself until it does", kind)

    def _note_recovery(self) -> None:
        if self._away_since is not None:
            _log.info("limits: Redis answers again, after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None


def rules(per_minute: int, per_hour: int) -> Rules:
    """These many requests in any minute, and in any hour."""
    return RateLimitItemPerMinute(per_minute), RateLimitItemPerHour(per_hour)


def network_of(address: str | None) -> str:
    """The address that failures are counted by; of IPv6 the network that one client has."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)


def _redis(url: str) -> Storage:
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("REDIS_URL is no address of Redis; expected redis://host:6379")
    url = f"redis+{url}" if url.startswith("unix://") else url
    options = {"socket_connect_timeout": _REDIS_SECONDS, "socket_timeout": _REDIS_SECONDS}
    return storage_from_string(url, wrap_exceptions=True, **options)  # type: ignore[return-value]


def _count_hit(limiter: SlidingWindowCounterRateLimiter, rules: Rules, who: str) -> RateLimitStatus:
    allowed = all(limiter.hit(rule, who) for rule in rules)
    return replace(_status(limiter, rules, who), allowed=allowed)


def _status(limiter: SlidingWindowCounterRateLimiter, rules: Rules, who: str) -> RateLimitStatus:
    windows: Sequence[tuple[int, float, RateLimitItem]] = [
        (stats.remaining, stats.reset_time, rule) for rule in rules for stats in [limiter.get_window_stats(rule, who)]
    ]
    # Of two that are used up the later end counts.
    remaining, reset, rule = min(
        windows, key=lambda window: (max(window[0], 0), -window[1] if window[0] <= 0 else window[1])
    )
    seconds = max(math.ceil(reset - time.time()), 1)
    return RateLimitStatus(remaining > 0, rule.amount, max(remaining, 0), seconds, _policy(rules))


def _policy(rules: Rules) -> str:
    return ", ".join(f"{rule.amount};w={rule.get_expiry()}" for rule in rules)
