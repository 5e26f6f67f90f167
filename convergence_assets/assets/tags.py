"""The tags of a run, whoever launches it."""

from datetime import date

REQUEST_TAG = "convergence/request"
"""The key of the request that a run was launched for."""
CONFIG_VERSION_TAG = "convergence/config_version"
"""The beginning of the hash of the tenant's files that a run has loaded."""
TRIGGER_TAG = "convergence/trigger"
"""Why a run was requested: schedule, catch_up, api or backfill; absent: by a person."""
REMAKES_TAG = "convergence/remakes"
"""On a run that makes days again which an older definition made; its value is `stale`, or `upgrade`."""
MANUAL = "manual"
TRIGGERED_BY_TAG = "convergence/triggered_by"
"""Who requested a run: for one over the API the key's id."""
TERMINAL = "terminal"
"""The requester of a run of `convergence run`, which ends with its terminal."""


def run_tags(tenant_id: str, pipeline: str, first: date, last: date, trigger: str) -> dict[str, str]:
    """The tags of a run over the partitions [first, last]; more than one are Dagster's range in one run."""
    tags = {"tenant": tenant_id, "pipeline": pipeline}
    if trigger != MANUAL:
        tags[TRIGGER_TAG] = trigger
    if first != last:
        tags["dagster/asset_partition_range_start"] = first.isoformat()
        tags["dagster/asset_partition_range_end"] = last.isoformat()
    return tags


def partition_key(first: date, last: date) -> str | None:
    """The run's partition; None for a range, which its tags name."""
    return first.isoformat() if first == last else None
