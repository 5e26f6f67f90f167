"""The platform's Dagster instance: its processes log as ours do, and no secret gets into its storage."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from convergence_assets.dagster_internals import check_events, instance_parts, kubernetes_launches, location_snapshots
from convergence_assets.dagster_internals.patches import why_off
from convergence_assets.logs.process import redact_records, set_up_beside_dagster
from convergence_assets.logs.runs import automation_logger, run_logger
from convergence_assets.redaction import redacted

_PROCESSES = {
    "dagster": "dagster",
    "dagster-webserver": "webserver", "dagster_webserver": "webserver",
    "dagster-daemon": "daemon", "_daemon": "daemon",
}  # fmt: skip
"""By command, and by package where it was started with `python -m`."""

EVENTS_TOGETHER = "1000"
"""A run's plan, and the events of a range's partitions, are stored in batches: a Dagster setting, off by default."""


class Instance(dg.DagsterInstance):
    """`instance_class: {module: convergence_assets.dagster_instance, class: Instance}` in dagster.yaml."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENTS_TOGETHER)
        instance_parts.keep_connections(self)
        if _process(*sys.argv[:1]) in ("daemon", "webserver"):  # they read locations throughout their life
            location_snapshots.snapshots_in_pieces()
            location_snapshots.kept_as_long_as_their_server()
        if _process(*sys.argv[:1]) == "daemon" and instance_parts.launches_on_kubernetes(self):
            kubernetes_launches.wait_for_kubernetes()
        set_up_logs()

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, Any]:
        return instance_parts.instance_defaults(base_dir)

    def handle_new_event(self, event: Any, *, batch_metadata: Any = None) -> None:
        """Store an event, without secrets.

        That a check is planned is not stored. Dagster shows such a check as failed once its run has failed, although it
        was never evaluated: every check of every table that was skipped, or that a killed worker did not reach.
        """
        if check_events.is_planned_check(event) and why_off() is None:
            ends = batch_metadata is not None and batch_metadata.is_end
            last = check_events.take_last_of_batch(self, batch_metadata.id) if ends else None
            if last is not None:
                super().handle_new_event(last, batch_metadata=batch_metadata)
            return
        event = instance_parts.without_secrets(event, redacted)
        super().handle_new_event(event, batch_metadata=batch_metadata)

    def create_tick(self, tick_data: Any) -> Any:
        """Store a sensor's or a schedule's tick, without secrets."""
        return super().create_tick(instance_parts.without_secrets(tick_data, redacted))

    def update_tick(self, tick: Any) -> Any:
        """Store a tick's outcome, without secrets."""
        return super().update_tick(instance_parts.without_secrets(tick, redacted))


def set_up_logs() -> None:
    """Set up our log in a Dagster process (daemon, webserver, code server, a run's worker).

    Raises `SettingsError` for an invalid CONVERGENCE_LOG_FORMAT.
    """
    if _process(*sys.argv[:1]):
        set_up_beside_dagster()
        if why_off():
            redact_records()
        instance_parts.console_loggers_are(run_logger, automation_logger)


def _process(started: str = "") -> str | None:
    """Which Dagster process these arguments start."""
    path = Path(started)
    return _PROCESSES.get(path.parent.name if path.name == "__main__.py" else path.name)
