"""Delivering: the outbox's messages to their receivers, retried until accepted."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING
from uuid import uuid4

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert, fingerprint
from convergence_assets.alerting.channels import SEND_TIMEOUT_SECONDS, Channel, DeliveryFailed
from convergence_assets.alerting.message import Message
from convergence_assets.alerting.routes import PLATFORM, NoSuchRoute, Routes, message_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from convergence_assets.control.outbox import Waiting
    from convergence_assets.control.store import ControlStore

FIRST_RETRY = timedelta(seconds=15)
LAST_RETRY = timedelta(minutes=10)
# A destination is called broken once a message has failed this often, and for this long.
BROKEN_AFTER = timedelta(minutes=30)
BROKEN_FAILURES = 5
AT_ONCE = 8

_log = logging.getLogger(__name__)


@dataclass
class Delivered:
    """What one call did; `failures` holds the last reason of each destination that failed."""

    sent: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def _in_turn(destinations: Sequence[str]) -> list[str]:
    """The platform's first, then one per tenant in turn: a tenant with many routes delays no other."""
    by_owner: dict[str, list[str]] = {PLATFORM: []}
    for destination in destinations:
        by_owner.setdefault(destination.partition("/")[0], []).append(destination)
    platform = by_owner.pop(PLATFORM)
    return [*platform, *(one for turn in zip_longest(*by_owner.values()) for one in turn if one is not None)]


def deliver(
    store: "ControlStore",
    routes: Routes,
    budget_seconds: float = 40,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Delivered:
    """Send what is due, several destinations at once; returns after `budget_seconds`, whatever receivers do.

    A message is leased while it is sent, so that no other process sends it; one whose sender dies is sent again when
    the lease has expired. A failed one is retried after `FIRST_RETRY`, then less and less often, for ever. Raises
    `ControlError` where the store fails.
    """
    from convergence_assets.control import outbox

    with store.read() as connection:
        waiting = _in_turn(outbox.destinations(connection))
    done = Delivered()
    ends_at = clock() + budget_seconds
    errors: list[BaseException] = []
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting or errors:
                    return
                destination = waiting.pop(0)
            try:
                _Delivery(store, routes, destination, ends_at, clock, pause, done, lock).run()
            except BaseException as error:
                with lock:
                    errors.append(error)

    # Daemons: a receiver that holds on to its connection must not hold up the caller, nor the end of its process.
    threads = [threading.Thread(target=work, daemon=True, name="deliver") for _ in waiting[:AT_ONCE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at - clock()))
    with lock:
        waiting.clear()
        if errors:
            raise errors[0]
        return Delivered(done.sent, dict(done.failures))


@dataclass
class _Delivery:
    """One destination's turn."""

    store: "ControlStore"
    routes: Routes
    destination: str
    ends_at: float
    clock: Callable[[], float]
    pause: Callable[[float], None]
    done: Delivered
    lock: threading.Lock
    holder: str = field(default_factory=lambda: uuid4().hex)
    passed: set[int] = field(default_factory=set)

    def run(self) -> None:
        try:
            channel = self.routes.route(self.destination).channel()
        except NoSuchRoute:
            return  # its incidents go elsewhere; pending messages stay in case the route returns
        except (LookupError, ValueError) as error:
            why = message_of(error) if isinstance(error, LookupError) else str(error)
            self._fail_next(DeliveryFailed(why))
            return
        while self.clock() + SEND_TIMEOUT_SECONDS + channel.seconds_between < self.ends_at:
            message = self._claim()
            if message is None:
                return
            self._keep_distance(channel)
            failed = _send(channel, message)
            if failed is None:
                self._sent(message)
                continue
            self._failed(message, failed)
            if not failed.refused:
                return

    def _keep_distance(self, channel: Channel) -> None:
        from convergence_assets.control import outbox

        if not channel.seconds_between:
            return
        with self.store.read() as connection:
            last = outbox.last_sent(connection, self.destination)
        since = (self.store.now() - last).total_seconds() if last else channel.seconds_between
        if since < channel.seconds_between:
            self.pause(min(channel.seconds_between - since, channel.seconds_between))

    def _claim(self) -> "Waiting | None":
        from convergence_assets.control import outbox

        with self.store.write(f"deliver:{self.destination}") as connection:
            return outbox.claim_next(connection, self.destination, self.holder, self.store.now(), self.passed)

    def _fail_next(self, failed: DeliveryFailed) -> None:
        message = self._claim()
        if message is not None:
            self._failed(message, failed)

    def _sent(self, message: "Waiting") -> None:
        from convergence_assets.control import incidents, outbox

        with self.store.write(f"deliver:{self.destination}") as connection:
            now = self.store.now()
            outbox.mark_sent(connection, message, self.holder, now)
            if not outbox.has_failing(connection, self.destination, BROKEN_FAILURES):
                incidents.resolve_incident(connection, _broken(self.destination), "messages are delivered again", now)
        with self.lock:
            self.done.sent += 1

    def _failed(self, message: "Waiting", failed: DeliveryFailed) -> None:
        from convergence_assets.control import incidents, outbox

        self.passed.add(message.id)
        again = max(_backoff(message.attempts), timedelta(seconds=failed.retry_after_seconds or 0))
        with self.store.write(f"deliver:{self.destination}") as connection:
            now = self.store.now()
            outbox.mark_failed(
                connection, message, self.holder, now, error=str(failed), next_try_at=now + again,
                refused=failed.refused,
            )  # fmt: skip
            since = message.first_failed_at or now
            if now - since >= BROKEN_AFTER and message.attempts + 1 >= BROKEN_FAILURES:
                alert = _alert(self.destination, str(failed), since, message.attempts + 1, self._waiting(connection))
                incidents.raise_alert(connection, alert, now)
        _log.warning("alerts to %s: %s; tried again in %.0f s", self.destination, failed, again.total_seconds())
        with self.lock:
            self.done.failures[self.destination] = str(failed)

    def _waiting(self, connection: "sa.Connection") -> int:
        from convergence_assets.control import outbox

        return sum(
            queue.messages for queue in outbox.destination_queues(connection) if queue.destination == self.destination
        )


def _send(channel: Channel, message: "Waiting") -> DeliveryFailed | None:
    try:
        channel.send(Message.from_json(message.payload))
    except DeliveryFailed as failed:
        return failed
    except Exception as error:  # a bug of ours in one message must not block the others
        return DeliveryFailed(f"{type(error).__name__}, a fault of Convergence", refused=True)
    return None


def _backoff(attempts: int) -> timedelta:
    """How long to wait after this many earlier failures; a fifth of it by chance, so that receivers get no bursts."""
    return min(LAST_RETRY, FIRST_RETRY * (2.0 ** min(attempts, 10) * random.uniform(1, 1.2)))


def _broken(destination: str) -> str:
    return fingerprint("delivery_failing", _owner(destination), table=destination)


def _owner(destination: str) -> str | None:
    owner = destination.split("/", 1)[0]
    return None if owner == PLATFORM else owner


def _alert(destination: str, reason: str, since: datetime, attempts: int, waiting: int) -> Alert:
    tenant_id = _owner(destination)
    return kinds.DELIVERY_FAILING.alert(
        f"Since {since:%Y-%m-%dT%H:%M:%SZ} it was tried {attempts} times; {reason}. {waiting} messages wait.",
        destination,
        tenant_id=tenant_id,
        table=destination,
        owner=tenant_id or PLATFORM,
    )
