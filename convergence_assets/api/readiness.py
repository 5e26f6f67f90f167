"""Whether the platform works: all parts are probed at once, with a deadline, and the results kept for seconds."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import sqlalchemy as sa

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals import automation_states, run_records
from convergence_assets.monitoring import automation, code_servers
from convergence_assets.monitoring.automation import DAEMONS, HEARTBEAT_WITHIN, TICK_WITHIN
from convergence_assets.settings import Settings
from convergence_assets.warehouse.schema import Query

KEPT_SECONDS = 5.0
WAREHOUSE_KEPT_SECONDS = 60.0
PART_SECONDS = 4.0
"""How long a part may take; Kubernetes' probes time out soon after."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One part: `message` is its state, or what is wrong."""

    ready: bool
    message: str


class Readiness:
    """Probes at most once in `KEPT_SECONDS`, for all callers; a part that hangs is probed by one thread only."""

    def __init__(self, settings: Settings, store: ControlStore, instance: dg.DagsterInstance) -> None:
        self._settings = settings
        self._store = store
        self._instance = instance
        self._lock = threading.Lock()
        self._results: Mapping[str, Part] = {}
        self._probed_at = -KEPT_SECONDS
        self._parts = {
            "control_store": _Probe(self._control_store),
            "dagster_storage": _Probe(self._dagster_storage),
            "daemons": _Probe(self._daemons),
            "code_location": _Probe(self._code_location),
            "warehouse": _Probe(self._warehouse, WAREHOUSE_KEPT_SECONDS),
        }

    def parts(self) -> Mapping[str, Part]:
        """Every part by its name."""
        with self._lock:
            if time.monotonic() - self._probed_at >= KEPT_SECONDS:
                self._results = self._probe_parts()
                self._probed_at = time.monotonic()
            return self._results

    def _probe_parts(self) -> Mapping[str, Part]:
        threads = ThreadPoolExecutor(len(self._parts), thread_name_prefix="readiness")
        futures = {name: threads.submit(part.result) for name, part in self._parts.items()}
        wait(futures.values(), timeout=PART_SECONDS)
        threads.shutdown(wait=False)
        late = Part(False, f"no answer within {PART_SECONDS:.0f} s")
        return {name: future.result() if future.done() else late for name, future in futures.items()}

    def _control_store(self) -> Part:
        with self._store.read() as connection:
            connection.execute(sa.text("SELECT 1"))
        return Part(True, "answers")

    def _dagster_storage(self) -> Part:
        run_records.existing_runs(self._instance, ["none"])
        return Part(True, "answers")

    def _daemons(self) -> Part:
        beats, now = automation_states.daemon_heartbeats(self._instance), self._store.now()
        dead = [name for name in DAEMONS if name not in beats or now - beats[name] > HEARTBEAT_WITHIN]
        if dead:
            return Part(False, f"no heartbeat of {', '.join(_since(name, beats.get(name)) for name in dead)}")
        return Part(True, f"{len(DAEMONS)} alive")

    def _code_location(self) -> Part:
        """Its server answers, where its address is known; and sensors tick, which they do where it is loaded."""
        for location, why in code_servers.silent(code_servers.servers(self._settings)):
            _log.error("code location %s does not answer: %s", location.name, why)
            return Part(False, f"the server of {location.name} does not answer; the log has the details")
        last = automation.last_tick_at(self._instance)
        if last is None:
            return Part(False, "no sensor has ever ticked: the code location was not loaded, or all are off")
        if self._store.now() - last > TICK_WITHIN:
            problem = f"no sensor has ticked since {last:%Y-%m-%dT%H:%M:%SZ}"
            return Part(False, f"{problem}: the code location is not loaded, or all are off")
        return Part(True, f"loaded, last tick {last:%Y-%m-%dT%H:%M:%SZ}")

    def _warehouse(self) -> Part:
        message = f"{self._settings.warehouse} ({self._settings.warehouse_reason})"
        with open_warehouse(self._settings, budget_seconds=0.0) as warehouse:
            warehouse.dry_run(Query("SELECT 1 AS one"))
        return Part(True, message)


class _Probe:
    """A check that is not started again while one is running; its result may be kept."""

    def __init__(self, check: Callable[[], Part], kept_seconds: float = 0.0) -> None:
        self._check = check
        self._kept_seconds = kept_seconds
        self._busy = threading.Lock()
        self._result = Part(False, "not asked yet")
        self._finished_at = float("-inf")

    def result(self) -> Part:
        if self._result.ready and time.monotonic() - self._finished_at < self._kept_seconds:
            return self._result
        if not self._busy.acquire(blocking=False):
            return Part(False, "no answer to the last question yet")
        try:
            self._result = self._check()
        except Exception as error:
            # The caller has shown no key: the message, which may name hosts, is for the log.
            _log.error("not ready: %s: %s", type(error).__name__, error)
            self._result = Part(
                False, f"{getattr(error, 'error_class', type(error).__name__)}; the log has the details"
            )
        finally:
            self._finished_at = time.monotonic()
            self._busy.release()
        return self._result


def _since(name: str, beat: datetime | None) -> str:
    return f"{name} (last {beat:%Y-%m-%dT%H:%M:%SZ})" if beat else f"{name} (never)"
