"""Removes old events, runs and ticks from Dagster's storage, on SQLite and Postgres, and nothing that is state.

State is what Dagster shows of a partition: of each asset's partition the newest event of each kind (materialisation,
plan, observation), of each check's partition the newest execution, and the run whose failure makes a partition red.
Dagster's own `delete_run` removes all events of a run, the newest materialisations too (1.13).
"""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import ASSET_CHECK_EVENTS
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable, RunsTable, RunTagsTable
from sqlalchemy.engine import Connection

from convergence_assets.dagster_internals.sqlite_storage import EventLogStorage

_log = logging.getLogger(__name__)
_EVENTS, _CHECKS = SqlEventLogStorageTable, AssetCheckExecutionsTable
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION.value
_NOT_MATERIALIZED = dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value
_OF_PARTITIONS = (_PLANNED, _MATERIALIZED, _OBSERVED, _NOT_MATERIALIZED)
_BACKFILL_OVER = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
PAGE = 500
_AT_ONCE = 500
"""Values in one statement."""


def _has_newer(rows: sa.Table, columns: Collection[str], *conditions: Callable[[sa.FromClause], Any]) -> Any:
    """Whether another row has the same values of these columns, the same partition or also none, and a greater id.

    Postgres looks for neither `OR` nor `IS NOT DISTINCT FROM` in an index, so each case is a query of its own.
    """
    newer = rows.alias("newer")
    same = [newer.c[name] == rows.c[name] for name in columns]
    among = sa.exists().where(newer.c.id > rows.c.id, *same, *(condition(newer) for condition in conditions))
    without = rows.c.partition.is_(None)
    return among.where(newer.c.partition == rows.c.partition) | (without & among.where(newer.c.partition.is_(None)))


_IS_OLD = _has_newer(_CHECKS, ("asset_key", "check_name")) & (
    _CHECKS.c.evaluation_event_storage_id.is_(None)
    | _has_newer(_CHECKS, ("asset_key", "check_name"), lambda newer: newer.c.evaluation_event_storage_id.is_not(None))
)
"""The newest execution of a check's partition is not, nor is the newest that was evaluated."""
_CHECK_EVENTS = sa.select(_EVENTS.c.event).where(
    _EVENTS.c.run_id == sa.bindparam("run_id"),
    _EVENTS.c.dagster_event_type.in_(kind.value for kind in ASSET_CHECK_EVENTS),
)
_OLD_EVENTS = sa.select(_EVENTS.c.id).where(
    _EVENTS.c.run_id == sa.bindparam("run_id"),
    _EVENTS.c.dagster_event_type.is_(None)
    | _EVENTS.c.dagster_event_type.not_in(_OF_PARTITIONS)
    | _EVENTS.c.asset_key.is_(None)
    | _has_newer(_EVENTS, ("asset_key", "dagster_event_type")),
)
"""Of a run, those of its checks' executions that stay among them."""


class DagsterHistory:
    """The history of an instance. Every method may be repeated after it was killed."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def runs_before(self, moment: datetime, since: datetime | None = None) -> Iterator[dg.RunRecord]:
        """Runs created between two moments (UTC), the oldest first."""
        filters, seen = dg.RunsFilter(created_before=moment, created_after=since), set[str]()
        while True:
            # Runs of a page may be deleted before the next one is read, which therefore begins at a moment; of that
            # moment there may be more than one.
            page = self._instance.get_run_records(filters, PAGE, "create_timestamp", ascending=True)
            new = [record for record in page if record.dagster_run.run_id not in seen]
            yield from new
            if not new:
                return
            seen = {record.dagster_run.run_id for record in page}
            last = page[-1].create_timestamp - timedelta(microseconds=1)
            filters = dg.RunsFilter(created_before=moment, created_after=last)

    def delete_events(self, run_id: str) -> int:
        """Delete the events of a run that is over, other than state; how many."""
        storage: Any = self._instance.event_log_storage
        with storage.index_transaction() as connection:
            executions = _executions(connection, run_id)
            for ids in _parts([row.id for row in executions if row.is_old]):
                connection.execute(_CHECKS.delete().where(_CHECKS.c.id.in_(ids)))
            kept = {row.event_id for row in executions if not row.is_old}
            events = [n for n in connection.scalars(_OLD_EVENTS, {"run_id": run_id}) if n not in kept]
            for ids in _parts(events):
                connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
                connection.execute(_EVENTS.delete().where(_EVENTS.c.id.in_(ids)))
        self._delete_file(run_id)
        try:
            self._instance.compute_log_manager.delete_logs(prefix=[run_id])
        except Exception as error:  # of a bucket that may not be written to, say: the events are what grows
            _log.warning("run %s: what it printed could not be deleted: %s", run_id, error)
        return len(events)

    def makes_a_partition_red(self, run_id: str) -> bool:
        """Whether the newest attempt at a partition is this run's and it published nothing of it since."""
        storage: Any = self._instance.event_log_storage
        with storage.index_connection() as connection:
            planned = sa.select(_EVENTS.c.id, _EVENTS.c.asset_key, _EVENTS.c.partition).where(
                _EVENTS.c.run_id == run_id, _EVENTS.c.dagster_event_type == _PLANNED
            )
            return any(
                row.id == _newest(connection, (_PLANNED, _MATERIALIZED), row.asset_key, row.partition)
                for row in connection.execute(planned)
            )

    def delete_run(self, run_id: str) -> None:
        """Delete the record of a run whose events were deleted."""
        storage: Any = self._instance.run_storage
        with storage.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
            connection.execute(RunsTable.delete().where(RunsTable.c.run_id == run_id))

    def delete_backfills(self, before: datetime) -> int:
        """Delete backfills that are over and were begun before a moment; how many."""
        storage: Any = self._instance.run_storage
        with storage.connect() as connection:
            old = sa.select(BulkActionsTable.c.key).where(
                BulkActionsTable.c.timestamp < before.replace(tzinfo=None),
                BulkActionsTable.c.status.in_(_BACKFILL_OVER),
            )
            keys = list(connection.scalars(old))
            for part in _parts(keys):
                connection.execute(BackfillTagsTable.delete().where(BackfillTagsTable.c.backfill_id.in_(part)))
                connection.execute(BulkActionsTable.delete().where(BulkActionsTable.c.key.in_(part)))
        return len(keys)

    def delete_ticks(self, before: datetime) -> None:
        """Delete ticks of sensors and schedules from before a moment, but for those that have not ended."""
        ended = [status for status in TickStatus if status != TickStatus.STARTED]
        for state in self._instance.all_instigator_state():
            self._instance.purge_ticks(
                state.instigator_origin_id, state.selector_id, before.timestamp(), tick_statuses=ended
            )

    def _delete_file(self, run_id: str) -> None:
        """SQLite has a file of each run beside its index."""
        storage: Any = self._instance.event_log_storage
        if isinstance(storage, EventLogStorage):
            storage.delete_run_file(run_id)
        elif isinstance(
            storage, SqliteEventLogStorage
        ):  # other processes of Dagster's would not notice that it is gone
            with storage.run_connection(run_id) as connection:
                connection.execute(_EVENTS.delete().where(_EVENTS.c.run_id == run_id))


def _executions(connection: Connection, run_id: str) -> Sequence[Any]:
    """Those of a run's checks, with the id of their newest event.

    Dagster's table has no index on runs, but one on check and run: which checks a run has, its events say.
    """
    events = [
        json.loads(text)["dagster_event"]["event_specific_data"]
        for text in connection.scalars(_CHECK_EVENTS, {"run_id": run_id})
    ]
    keys = {dg.AssetKey(event["asset_key"]["path"]).to_string() for event in events}
    of_run = sa.select(_CHECKS.c.id, _CHECKS.c.evaluation_event_storage_id.label("event_id"), _IS_OLD.label("is_old"))
    return connection.execute(
        of_run.where(
            _CHECKS.c.run_id == run_id, _CHECKS.c.asset_key.in_(keys),
            _CHECKS.c.check_name.in_({event["check_name"] for event in events}),
        )
    ).all()  # fmt: skip


def _newest(connection: Connection, kinds: Collection[str], asset_key: str, partition: str | None) -> int | None:
    same = _EVENTS.c.partition.is_(None) if partition is None else _EVENTS.c.partition == partition
    query = sa.select(sa.func.max(_EVENTS.c.id)).where(
        _EVENTS.c.asset_key == asset_key, _EVENTS.c.dagster_event_type.in_(kinds), same
    )
    newest: int | None = connection.scalar(query)
    return newest


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE))
