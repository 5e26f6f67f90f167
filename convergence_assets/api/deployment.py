"""What the routes work with: one deployment's store, Dagster, tenants, keys and limits."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from fastapi import Request

from convergence_assets.api.rate_limits import Limits, rules
from convergence_assets.api.readiness import Readiness
from convergence_assets.api.tenant_cache import Served
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings

_WAITING_AT_MOST = 500
_log = logging.getLogger(__name__)


class Behind:
    """What no answer waits for: done one after the other by a thread of its own, the newest dropped where too much
    waits."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._room = threading.Semaphore(_WAITING_AT_MOST)

    def do(self, what: Callable[[], object]) -> None:
        if not self._room.acquire(blocking=False):
            _log.warning("too much waits to be noted; a note is dropped")
            return
        try:
            self._thread.submit(self._do, what)
        except RuntimeError:  # it is closed
            self._room.release()

    def _do(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:
            _log.error("something could not be noted: %s", error)
        finally:
            self._room.release()

    def close(self) -> None:
        """Wait until everything is done."""
        self._thread.shutdown(wait=True)


@dataclass
class Deployment:
    """`draining` is set once no new request is to come."""

    settings: Settings
    store: ControlStore
    instance: dg.DagsterInstance
    served: Served
    keys: Keys
    limits: Limits
    readiness: Readiness
    behind: Behind = field(default_factory=Behind)
    draining: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def opened(
        cls, settings: Settings, instance: dg.DagsterInstance, limits: Limits | None = None
    ) -> Iterator["Deployment"]:
        """Raises `ControlError`, `UnreadableFolder`, and ValueError for a REDIS_URL that is none."""
        store = ControlStore.open(settings)
        made = cls(
            settings, store, instance, Served(settings), Keys(store), limits or limits_of(settings),
            Readiness(settings, store, instance),
        )  # fmt: skip
        try:
            yield made
        finally:
            made.behind.close()


def limits_of(settings: Settings) -> Limits:
    """Raises ValueError for a REDIS_URL that is none."""
    return Limits(settings.redis_url, tenant=rules(settings.api_per_minute, settings.api_per_hour))


async def deployment_of(request: Request) -> Deployment:
    found: Deployment = request.app.state.deployment
    return found
