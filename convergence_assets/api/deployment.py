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

_LARGEST_QUEUE = 500
_log = logging.getLogger(__name__)


class BackgroundTasks:
    """Tasks that no response waits for: one thread runs them in turn; a new one is dropped while the queue is full."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._free_slots = threading.Semaphore(_LARGEST_QUEUE)

    def submit(self, task: Callable[[], object]) -> None:
        if not self._free_slots.acquire(blocking=False):
            _log.warning("too much waits to be noted; a note is dropped")
            return
        try:
            self._thread.submit(self._run, task)
        except RuntimeError:  # it is closed
            self._free_slots.release()

    def _run(self, task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            _log.error("something could not be noted: %s", error)
        finally:
            self._free_slots.release()

    def close(self) -> None:
        """Wait until every task is done."""
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
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    draining: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def opened(
        cls, settings: Settings, instance: dg.DagsterInstance, limits: Limits | None = None
    ) -> Iterator["Deployment"]:
        """Raises `ControlError`, `UnreadableFolder`, and ValueError for a REDIS_URL that is none."""
        store = ControlStore.open(settings)
        deployment = cls(
            settings, store, instance, Served(settings), Keys(store), limits or limits_of(settings),
            Readiness(settings, store, instance),
        )  # fmt: skip
        try:
            yield deployment
        finally:
            deployment.background.close()


def limits_of(settings: Settings) -> Limits:
    """Raises ValueError for a REDIS_URL that is none."""
    return Limits(settings.redis_url, tenant=rules(settings.api_per_minute, settings.api_per_hour))


async def deployment_of(request: Request) -> Deployment:
    deployment: Deployment = request.app.state.deployment
    return deployment
