"""The names of Dagster that a check's evaluations need and that are not public, each with what it promises."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.dagster_internals import check_events
from convergence_assets.dagster_internals.instance import Instance

KEY = dg.AssetKey(["acme", "demo", "lines"])
DAILY = dg.DailyPartitionsDefinition("2026-10-01")
Planned, Evaluated = (
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
)


@dg.asset(key=KEY, partitions_def=DAILY, check_specs=[dg.AssetCheckSpec("rows", asset=KEY)])
def lines(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    yield dg.MaterializeResult()
    days = context.partition_keys
    targets = check_events.latest_materializations(context.instance, KEY, [*days, "2026-10-09"])
    assert sorted(targets) == days
    evaluations = [
        dg.AssetCheckEvaluation(
            asset_key=KEY, check_name="rows", passed=True, partition=day, target_materialization_data=targets[day]
        )
        for day in days
    ]
    check_events.log_check_evaluations(context, evaluations)
    yield dg.AssetCheckResult(passed=True)


@pytest.fixture(params=["Dagster's", "ours"])
def instance(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    name = Instance.__name__ if request.param == "ours" else ""
    module = f"instance_class: {{module: {Instance.__module__}, class: {name}}}\n" if name else ""
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{module}")
    return dg.DagsterInstance.from_config(str(tmp_path))


def test_evaluations_of_a_ranges_days_are_stored_with_their_materialisation(instance: dg.DagsterInstance) -> None:
    with instance:
        tags = {"dagster/asset_partition_range_start": "2026-10-01", "dagster/asset_partition_range_end": "2026-10-03"}
        result = dg.materialize([lines], instance=instance, tags=tags)
        stored = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEY, "rows"), limit=9)
        found = {record.partition: record.evaluation for record in stored}
        assert set(found) == {None, "2026-10-01", "2026-10-02", "2026-10-03"}
        second = found["2026-10-02"]
        assert second is not None
        assert second.target_materialization_data is not None
        assert second.target_materialization_data.run_id == result.run_id


def test_a_planned_check_is_not_stored_and_what_waits_with_it_is(instance: dg.DagsterInstance) -> None:
    with instance:
        run_id = dg.materialize([lines], instance=instance, partition_key="2026-10-01").run_id
        kinds = [entry.dagster_event_type for entry in instance.all_logs(run_id)]
        assert (Planned in kinds) == (type(instance) is not Instance)
        assert dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED in kinds
        assert kinds.count(Evaluated) == 2
        assert check_events.take_last_of_batch(instance, "no such batch") is None
