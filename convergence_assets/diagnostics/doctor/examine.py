"""Runs checks one after the other: none stops the others, by an exception or by its duration."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar

from convergence_assets.control.errors import ControlError
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings, SettingsError
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenant_lifecycle.code_location import WebserverError
from convergence_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import dagster as dg

State = Literal["ok", "warning", "broken"]

CHECK_SECONDS = 60.0
"""How long one check may take. BigQuery and the webserver answer within a few seconds; a dry run of every query of some
tenants takes longer."""


@dataclass(frozen=True)
class Finding:
    """What one check found; `next_step` is empty where nothing has to be done."""

    check: str
    state: State
    seen: str
    next_step: str = ""


@dataclass(frozen=True)
class Limits:
    """The thresholds of a problem. Shares are of the disk, ages are those of the oldest queued run."""

    clock_skew: timedelta = timedelta(seconds=5)
    clock_skew_breaks: timedelta = timedelta(seconds=30)  # half of what a lock lives without a heartbeat
    queued: timedelta = timedelta(minutes=30)
    key_expires_within: timedelta = timedelta(days=14)
    free_bytes: int = 5 * 10**9
    free_bytes_break: int = 10**9


@dataclass(frozen=True)
class Setup:
    """What is examined: the settings, how to open the Dagster instance, and its folder. `now` is this machine's
    clock."""

    settings: Settings
    open_instance: Callable[[], "dg.DagsterInstance"]
    dagster_home: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits = field(default=Limits())

    @cached_property
    def registry(self) -> TenantRegistry:
        """The tenants of the current files; accepts nothing. Raises `UnreadableFolder`."""
        today, context = self.now().date(), LoadContext.of(self.settings)
        return load_registry(
            self.settings.tenants, self.settings.accepted_tenants, today=today, context=context, keep=False
        )

    @cached_property
    def store(self) -> ControlStore:
        """Raises `ControlError` and `SettingsError`."""
        return ControlStore.open(self.settings, now=self.now)


Check = Callable[[Setup], Iterator[Finding]]
AnySetup = TypeVar("AnySetup", bound=Setup)


def examine(
    checks: Mapping[str, Callable[[AnySetup], Iterator[Finding]]],
    setup: AnySetup,
    after: Mapping[str, Collection[str]] = MappingProxyType({}),
    seconds: float = CHECK_SECONDS,
) -> Iterator[Finding]:
    """Every check's findings, in the order in which a person would look.

    One that raises, or takes longer than `seconds`, is a finding itself and blocks no other. `after` names by check
    those that it depends on: it is skipped where one of them is broken.
    """
    wrong: set[str] = set()
    for name, check in checks.items():
        cause = next((other for other in after.get(name, ()) if other in wrong), None)
        if cause is not None:
            wrong.add(name)
            yield Finding(name, "warning", f"not looked at, since {cause} is broken", f"first what is said of {cause}")
            continue
        findings = _within(name, check, setup, seconds)
        if any(finding.state == "broken" for finding in findings):
            wrong.add(name)
        yield from findings


def _within(
    name: str, check: Callable[[AnySetup], Iterator[Finding]], setup: AnySetup, seconds: float
) -> Sequence[Finding]:
    findings: list[Finding] = []

    def look() -> None:
        try:
            findings.extend(check(setup))
        except (SettingsError, ControlError, UnreadableFolder, WarehouseError, WebserverError) as error:
            findings.append(broken(name, error))
        except OSError as error:
            message = f"{error.strerror or type(error).__name__}: {error.filename or _one_line(error)}"
            findings.append(
                Finding(name, "broken", message, "see that it is there, and that this user may read and write it")
            )
        except Exception as error:  # whatever it is, the other checks still run
            findings.append(Finding(name, "broken", f"the check failed with {type(error).__name__}: {_one_line(error)}",
                                 "correct what it names; if it names nothing, report it"))  # fmt: skip

    # A daemon: a check that hangs does not block the command's end.
    thread = threading.Thread(target=look, name=f"doctor: {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return [Finding(name, "broken", f"no answer within {seconds:.0f} s", "see whether what it asks is reachable")]
    return findings


def broken(name: str, error: Exception) -> Finding:
    """One of our errors: its message, or its class, gives what happened and what to do next."""
    happened, _, next_step = _one_line(error).partition(". Next: ")
    return Finding(name, "broken", happened, next_step or getattr(error, "remedy", "") or _after_semicolon(happened))


def _after_semicolon(message: str) -> str:
    return message.rpartition("; ")[2] if "; " in message else "correct what it names"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
