"""Which checks had failed for days as they are published."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg

_A_DAY = 20
"""So many materialisations of a day are looked through for that of its publication."""

FailedChecks = Mapping[date, frozenset[str]]
"""By day the names of the checks that failed; a day of which that is not known is not there."""


def failed_checks(instance: "dg.DagsterInstance", key: "dg.AssetKey", run_ids: Mapping[date, str]) -> FailedChecks:
    """What Dagster recorded with the publications that these runs made, by day."""
    import dagster as dg

    if not run_ids:
        return {}
    partitions = [day.isoformat() for day in run_ids]
    records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
    failed: dict[date, frozenset[str]] = {}
    for record in instance.fetch_materializations(records_filter, limit=_A_DAY * len(partitions)).records:
        materialization = record.asset_materialization
        if materialization is None or materialization.partition is None:
            continue
        day = date.fromisoformat(materialization.partition)
        names: Any = materialization.metadata.get("checks_failed")
        if names is not None and record.run_id == run_ids[day]:
            failed.setdefault(day, frozenset(names.value))
    return failed
