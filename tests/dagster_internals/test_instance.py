"""Dagster's instance as the platform has it: what it stores holds no secret, and what its runs say goes to our loggers."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions import instigation_logger
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._serdes import serialize_value
from dagster_shared.error import SerializableErrorInfo

from convergence_assets.dagster_internals import instance as dagster_logs
from convergence_assets.dagster_internals import instance_parts, location_snapshots, run_records
from convergence_assets.dagster_internals.instance import Instance, _process
from convergence_assets.redaction import remember

SECRET = "s3cr3t-of-the-instance"
OURS = "storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage, config: {base_dir: %s}}}"
CLASS = "instance_class: {module: convergence_assets.dagster_instance, class: Instance}\n"

METADATA: dict[str, Any] = {
    "text": SECRET, "json": {"deep": [SECRET]}, "list": [SECRET, 1], "number": 5, "real": 0.5, "flag": True, "nothing": None,
    "url": dg.MetadataValue.url(f"https://h/{SECRET}"), "path": dg.MetadataValue.path(f"/a/{SECRET}"),
    "md": dg.MetadataValue.md(SECRET), "asset": dg.MetadataValue.asset(dg.AssetKey(["a", SECRET])),
    "table": dg.MetadataValue.table([dg.TableRecord({"a": SECRET, "n": 1})]),
    "schema": dg.MetadataValue.table_schema(dg.TableSchema([dg.TableColumn("a", "string", SECRET)])),
    "moment": dg.MetadataValue.timestamp(1_700_000_000.0), "job": dg.MetadataValue.job("j", "l"),
}  # fmt: skip


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{CLASS}")
    remember(SECRET)
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def test_an_instance_of_this_class_is_handed_on_to_other_processes(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance, Instance)
    with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
        assert isinstance(again, Instance)


def test_what_a_run_intends_is_stored_at_once(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, batches = type(instance.event_log_storage), []
    stored = storage.store_event_batch

    def counted(this: Any, events: Sequence[dg.EventLogEntry]) -> None:
        batches.append(len(events))
        stored(this, events)

    monkeypatch.setattr(storage, "store_event_batch", counted)
    checks = [dg.AssetCheckSpec(f"c{number}", asset="costs") for number in range(5)]
    costs = dg.asset(name="costs", check_specs=checks)(lambda: None)
    others = [dg.asset(name=f"table{number}")(lambda: None) for number in range(5)]
    job = dg.Definitions(assets=[costs, *others], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    run = instance.create_run_for_job(job)
    assert batches == [6], "the tables, and no check: that one is planned is not stored"
    assert len(instance.all_logs(run.run_id)) == 6


@pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")
@pytest.mark.parametrize("storage", ["", OURS])
def test_a_check_is_planned_once_a_run_and_ends_with_it_whatever_days_the_run_is_for(
    tmp_path: Path, storage: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\n{CLASS}{storage % tmp_path if storage else ''}"
    )
    daily = dg.DailyPartitionsDefinition("2026-10-01", end_date="2026-10-05")

    @dg.asset(
        partitions_def=daily,
        check_specs=[dg.AssetCheckSpec("c", asset="costs")],
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=10),
    )
    def costs() -> Iterator[object]:
        yield dg.AssetCheckResult(passed=True)
        yield dg.MaterializeResult()

    job = dg.Definitions(assets=[costs], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    one = {"dagster/partition": "2026-10-01"}
    several = {"dagster/asset_partition_range_start": "2026-10-02", "dagster/asset_partition_range_end": "2026-10-04"}
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for tags in (one, several):
            assert job.execute_in_process(instance=instance, tags=tags).success
        key = dg.AssetCheckKey(dg.AssetKey("costs"), "c")
        known = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        assert [(check.status.value, check.partition) for check in known] == [("SUCCEEDED", None)] * 2


def test_no_event_of_a_run_keeps_a_secret(instance: dg.DagsterInstance) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("c", asset="costs")])
    def costs(context: dg.AssetExecutionContext) -> Iterator[object]:
        context.log.info(f"logged {SECRET}")
        yield dg.AssetCheckResult(passed=True, metadata=METADATA)
        try:
            raise ValueError(SECRET)
        except ValueError as cause:
            raise dg.Failure(
                f"no answer with {SECRET}", metadata={"url": dg.MetadataValue.url(f"https://h/{SECRET}")}
            ) from cause

    run = dg.materialize([costs], instance=instance, raise_on_error=False)
    stored = [serialize_value(entry) for entry in instance.all_logs(run.run_id)]
    assert not [text for text in stored if SECRET in text]
    hidden = [text for text in stored if "***" in text]
    assert any(all(f'"{name}"' in text for name in METADATA) for text in hidden)
    for shown in ("logged ***", "no answer with ***", "https://h/***", '"deep": ["***"]', "ValueError: ***"):
        assert any(shown in text for text in hidden), shown
    failure = next(
        e.dagster_event for e in instance.all_logs(run.run_id) if e.dagster_event and e.dagster_event.is_step_failure
    )
    error = run_records.own_error(failure)
    assert error is not None
    assert error.message == "no answer with ***"


def test_no_tick_keeps_a_secret(instance: dg.DagsterInstance) -> None:
    error = SerializableErrorInfo(f"broke by {SECRET}", [f"stack {SECRET}"], "ValueError", None)
    data = TickData(
        "origin", "ledger", InstigatorType.SENSOR, TickStatus.FAILURE, 1_700_000_000.0, run_ids=[], run_keys=[], error=error,
        selector_id="selector",
    )  # fmt: skip
    tick = instance.create_tick(data)
    (created,) = instance.get_ticks("origin", "selector")
    assert SECRET not in serialize_value(created.tick_data)
    assert created.error is not None
    assert created.error.message == "broke by ***"
    instance.update_tick(tick.with_status(TickStatus.SKIPPED, error=None).with_reason(f"skipped by {SECRET}"))
    (updated,) = instance.get_ticks("origin", "selector")
    assert updated.skip_reason == "skipped by ***"


def test_what_holds_no_secret_is_stored_as_it_is(instance: dg.DagsterInstance) -> None:
    run = dg.materialize([dg.AssetsDefinition.from_op(dg.op(name="plain")(lambda: None))], instance=instance)
    for entry in instance.all_logs(run.run_id):
        assert instance_parts.without_secrets(entry, lambda text: text) is entry
        # A text that was made anew but says the same changes nothing either.
        assert instance_parts.without_secrets(entry, lambda text: "".join(list(text))) is entry


def test_runs_sensors_and_schedules_say_everything_to_our_loggers(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str | None, list[Sequence[str]]]] = []
    heard: list[str] = []

    class Hears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    def logger() -> logging.Logger:
        own_logger = logging.Logger("of the test")
        own_logger.addHandler(Hears())
        return own_logger

    def of_run(run_id: str | None, keys: object, level: int) -> logging.Logger:
        given.append((run_id, list(keys)))  # type: ignore[call-overload]
        return logger()

    monkeypatch.setattr(dg.colored_console_logger, "_logger_fn", None)
    monkeypatch.setattr(instigation_logger, "create_console_logger", None)
    instance_parts.console_loggers_are(of_run, logger)

    @dg.asset(key=["acme", "billing", "costs"])
    def costs(context: dg.AssetExecutionContext) -> None:
        context.log.info("from the code")

    run = dg.materialize([costs], instance=instance)
    assert given[-1] == (run.run_id, [["acme", "billing", "costs"]])
    assert any(line.endswith("from the code") for line in heard)
    assert any("STEP_SUCCESS" in line for line in heard)
    with dg.build_sensor_context(instance) as context:
        context.log.info("from a sensor")
    assert heard[-1].endswith("from a sensor")


@pytest.mark.parametrize(
    ("started", "process"),
    [
        ("/v/bin/dagster", "dagster"), ("/v/bin/dagster-webserver", "webserver"), ("/v/bin/dagster-daemon", "daemon"),
        ("/v/lib/dagster/__main__.py", "dagster"), ("/v/lib/dagster_webserver/__main__.py", "webserver"),
        ("/v/lib/dagster/_daemon/__main__.py", "daemon"), ("/v/bin/convergence", None), ("/v/bin/pytest", None),
        ("/v/lib/pytest/__main__.py", None), ("-c", None), ("", None),
    ],
)  # fmt: skip
def test_a_process_of_dagsters_is_told_by_what_started_it(started: str, process: str | None) -> None:
    assert _process(started) == process


@pytest.mark.parametrize(
    ("started", "long_lived"),
    [("/v/bin/dagster-daemon", True), ("/v/lib/dagster_webserver/__main__.py", True), ("/v/bin/dagster", False)],
)
def test_what_reads_locations_as_long_as_it_lives_takes_their_snapshots_in_pieces_and_not_every_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str, long_lived: bool
) -> None:
    names: list[str] = []
    ways = ["snapshots_in_pieces", "kept_as_long_as_their_server"]
    for way in ways:
        monkeypatch.setattr(location_snapshots, way, lambda way=way: names.append(way))
    monkeypatch.setattr(dagster_logs, "set_up_logs", lambda: None)
    monkeypatch.setattr("sys.argv", [started])
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{CLASS}")
    with dg.DagsterInstance.from_config(str(tmp_path)):
        assert names == (ways if long_lived else [])
