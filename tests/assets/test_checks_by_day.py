"""What Dagster shows of checks, day by day: nothing green that was stopped, nothing red that was not evaluated."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.check_events import EVERY_DAY_UP_TO, examples_shown
from convergence_assets.assets.factory import build_assets
from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.ledger.log_lines import lines
from convergence_assets.ledger.replay import replay
from convergence_assets.tenancy.registry import load_tenants
from tests.assets.project import Project, hourly

BERLIN = "Europe/Berlin"
WEEK = [date(2026, 3, 10) + timedelta(days=n) for n in range(7)]
LINES, TOTALS = (dg.AssetKey(["acme", "demo_costs", table]) for table in ("lines", "totals"))
DAILY = dg.DailyPartitionsDefinition("2026-03-01", timezone=BERLIN)
SHIPPED = """telemetry: {enabled: false}
instance_class: {module: convergence_assets.dagster_instance, class: Instance}
storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage, config: {base_dir: %s}}}
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(SHIPPED % home)
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def run(project: Project, instance: dg.DagsterInstance, first: date, last: date | None = None) -> RunResult:
    pipeline = project.tenant.pipelines[0]
    return Definitions(project.settings).run(instance, project.tenant, pipeline, first, last or first)


def load(project: Project, days: list[date], impossible: date | None = None) -> None:
    project.load_bills([row for day in days for row in hourly(day, BERLIN, 9000.0 if day == impossible else 1.25)])


def shown(instance: dg.DagsterInstance, check: str, table: dg.AssetKey = LINES) -> dict[str, list[str]]:
    """The days of a check by the status that Dagster's Checks tab counts them under."""
    key = dg.AssetCheckKey(table, check)
    state = instance.event_log_storage.get_asset_check_state([(key, DAILY)])[key]
    days = {status.value: sorted(subset.subset_value.get_partition_keys()) for status, subset in state.subsets.items()}
    return {status: found for status, found in days.items() if found}


def test_a_stopped_day_stays_red_while_other_days_pass_until_it_is_published(
    project: Project, instance: dg.DagsterInstance
) -> None:
    load(project, WEEK[:2], impossible=WEEK[0])
    assert not run(project, instance, WEEK[0]).succeeded
    assert run(project, instance, WEEK[1]).succeeded
    assert shown(instance, "cost_is_possible") == {"FAILED": ["2026-03-10"], "SUCCEEDED": ["2026-03-11"]}
    load(project, WEEK[:1])
    assert run(project, instance, WEEK[0]).succeeded
    assert shown(instance, "cost_is_possible") == {"SUCCEEDED": ["2026-03-10", "2026-03-11"]}
    assert shown(instance, "partition_is_not_empty", TOTALS) == {"SUCCEEDED": ["2026-03-10", "2026-03-11"]}


def test_a_range_is_evaluated_day_by_day_and_what_it_skipped_is_shown_as_nothing(
    project: Project, instance: dg.DagsterInstance
) -> None:
    load(project, WEEK, impossible=WEEK[3])
    result = run(project, instance, WEEK[0], WEEK[-1])
    good = [str(day) for day in WEEK if day != WEEK[3]]
    assert shown(instance, "cost_is_possible") == {"FAILED": ["2026-03-13"], "SUCCEEDED": good}
    assert shown(instance, "cost_is_known") == {"SUCCEEDED": [str(day) for day in WEEK]}
    assert shown(instance, "partition_is_not_empty", TOTALS) == {}
    last = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(LINES, "cost_is_possible"), 9)
    assert (last[0].partition, last[0].status.value) == (None, "FAILED")  # the run's own result is the latest
    assert sorted(str(record.partition) for record in last[1:]) == sorted(map(str, WEEK))
    names = [(c.table, c.name) for c in result.checks]
    assert len(names) == len(set(names)) == 6


def test_the_ledger_and_the_log_have_a_check_and_day_once(project: Project, instance: dg.DagsterInstance) -> None:
    load(project, WEEK, impossible=WEEK[3])
    run_id = run(project, instance, WEEK[0], WEEK[-1]).run_id
    replayed = replay(instance, run_id, load_tenants(project.settings).tenants)
    assert replayed is not None
    rows = [(row.values["check_name"], row.values["partition"]) for row in replayed.checks]
    assert len(rows) == len(set(rows)) == 6 * 7
    messages = [line.message for line in lines(instance, run_id) if line.event == "check" and line.level != "debug"]
    assert len(messages) == 6
    (failed,) = [text for text in messages if "failed" in text and "cost_is_possible" in text]
    assert "on 2026-03-13, e.g. " in failed
    assert failed.endswith(" and 23 more")


def test_of_a_long_range_the_failed_days_alone_are_evaluated_each(
    project: Project, instance: dg.DagsterInstance
) -> None:
    days = [WEEK[0] + timedelta(days=n) for n in range(EVERY_DAY_UP_TO + 1)]
    load(project, days, impossible=days[9])
    assert not run(project, instance, days[0], days[-1]).succeeded
    assert shown(instance, "cost_is_possible") == {"FAILED": [str(days[9])]}
    load(project, days)
    assert run(project, instance, days[0], days[-1]).succeeded
    assert shown(instance, "cost_is_possible") == {}, "what was published since is not red"


def test_the_checks_that_stop_a_day_are_the_blocking_ones(project: Project) -> None:
    assets, _ = build_assets(load_tenants(project.settings), project.settings)
    specs = [spec for asset in assets if isinstance(asset, dg.AssetsDefinition) for spec in asset.check_specs]
    assert len(specs) >= 7
    assert {(spec.metadata["severity"], spec.blocking) for spec in specs} == {
        ("critical", True),
        ("warning", False),
        ("info", False),
    }
    assert {spec.partitions_def for spec in specs} == {DAILY}


def test_three_examples_are_shown_and_the_others_counted() -> None:
    assert examples_shown((), 7) == ""
    assert examples_shown(("a", "b"), None) == ", e.g. a | b"
    assert examples_shown(("a", "b", "c", "d"), 1200) == ", e.g. a | b | c and 1,197 more"
