"""The locks of this process: kept alive by a thread, shared by a run's steps, released at the end."""

import atexit
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from convergence_assets.control.errors import ControlError
from convergence_assets.control.locks import HEARTBEAT_SECONDS, Claim, Lock, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings

_log = logging.getLogger(__name__)


class LockSession:
    """The locks of one process in one store. A forked child has none of its parent's."""

    def __init__(self, store: ControlStore, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.store = store
        self.locks = Locks(store)
        self._every = heartbeat_seconds
        self._process = os.getpid()
        self._locks: list[Lock] = []
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def hold_lock(self, claim: Claim, run_id: str, is_over: Callable[[str], bool] = lambda run_id: False) -> Lock:
        """The run's lock on these days: the one it has, else a new one, held until `release_run` or the process's end.

        Raises `Refused` where another run has it. A lock that the run has lost is still returned, never replaced by a
        new one: `Locks.confirm` detects that before anything is published.
        """
        with self._mutex:
            for lock in self._locks:
                if lock.run_id == run_id and lock.claim.covers(claim):
                    return lock
            lock = self.locks.acquire(claim, run_id, is_over)
            self._locks.append(lock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="lock heartbeat", daemon=True)
                self._thread.start()
            return lock

    def release_run(self, run_id: str) -> None:
        """Release the run's locks."""
        self._release(lambda lock: lock.run_id == run_id)

    def close(self) -> None:
        """Release all locks; also called at the process's end."""
        if self._process != os.getpid():
            return
        self._ended.set()
        try:
            self._release(lambda lock: True)
        except ControlError as error:
            _log.warning("locks were not released; they are free once this process has ended: %s", error)

    def _release(self, which: Callable[[Lock], bool]) -> None:
        with self._mutex:
            ending = [lock for lock in self._locks if which(lock)]
            self._locks = [lock for lock in self._locks if not which(lock)]
        if ending:
            self.locks.release([lock.fence for lock in ending])

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            with self._mutex:
                fences = [lock.fence for lock in self._locks]
            if fences:
                try:
                    self.locks.beat(fences)
                except ControlError as error:  # the next one may succeed, and publishing checks the lock itself
                    _log.warning("no heartbeat for %d locks: %s", len(fences), error)


_Place = tuple[Path, str | None, str | None]
_holdings: dict[_Place, LockSession] = {}
_opening = threading.Lock()


def holding(settings: Settings) -> LockSession:
    """This process's locks in the store of these settings, opened once. Raises `ControlError`, `SettingsError`."""
    with _opening:
        place = _place(settings)
        if place not in _holdings:
            _holdings[place] = LockSession(ControlStore.open(settings))
        return _holdings[place]


def release_run(settings: Settings, run_id: str) -> None:
    """Release the locks of a run of this process; opens no store where there are none."""
    with _opening:
        session = _holdings.get(_place(settings))
    if session:
        session.release_run(run_id)


def _place(settings: Settings) -> _Place:
    return settings.home, settings.control_url, os.environ.get("DAGSTER_HOME")


def _in_child() -> None:
    global _opening
    _holdings.clear()
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_in_child)
