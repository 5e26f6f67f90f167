"""`convergence tenants migrate`: a timezone or dataset that changes after days were published."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.main import app
from convergence_assets.control import audit, partition_states, published_locations
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import PendingPartition, Request
from convergence_assets.control.published_locations import PublishedLocation
from convergence_assets.control.store import ControlStore
from convergence_assets.process import this_process
from convergence_assets.scheduling.capacity import Launch
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.requesting import RequestedRun
from convergence_assets.scheduling.targets import Targets, targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests.assets.project import TENANTS, Project, hourly

DAY = date(2026, 10, 2)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    shutil.copytree(TENANTS, tmp_path / "tenants")
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(tmp_path / "tenants"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.delenv("CONVERGENCE_DAGSTER_URL", raising=False)
    found = replace(Project.at(tmp_path / "home"), settings=Settings.from_env())
    hours = [bill for n in (-1, 0, 1) for bill in hourly(DAY + timedelta(days=n), "UTC", 1.0)]
    found.load_bills(hours)
    return found


def convergence(*words: str, said: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, words, input=said)


def run() -> None:
    result = convergence("run", "acme", "demo_costs", "--partition", str(DAY))
    assert result.exit_code == 0, result.output


def edit(project: Project, old: str, new: str) -> None:
    file = Path(project.settings.tenants, "acme", "tenant.yaml")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def store_of(project: Project) -> ControlStore:
    return ControlStore.open(project.settings)


def first_bill(project: Project, dataset: str = "acme") -> datetime:
    (row,) = project.read(f"SELECT MIN(used_at) AS first FROM {dataset}.lines WHERE day = '{DAY}'")
    found = row["first"]
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


def asked_for(project: Project, outcomes: dict[str, str] | None = None, at: datetime | None = None) -> list[Launch]:
    """What the planner asks for in its next tick, were the tenant not paused; `outcomes` are those of requests."""

    def lookup(asked: Any) -> dict[str, RequestedRun]:
        requests: list[Request] = list(asked)
        return {r.key: RequestedRun("run", (outcomes or {}).get(r.key)) for r in requests}  # type: ignore[arg-type]

    served = load_tenants(project.settings).tenants.values()
    targets = Targets(replace(t, paused=False, start_date=DAY) for t in targets_of(served))
    store = ControlStore.open(project.settings, now=lambda: at or datetime.now(UTC))
    launches = Planner(store, targets, lookup).catch_up(list(targets.schedules))
    return [launch for launch in launches if launch.first <= DAY <= launch.last]


def test_a_file_that_moves_a_tenant_is_set_aside_with_its_line_and_the_tenant_is_served_as_before(
    project: Project,
) -> None:
    edit(project, "timezone: Europe/Berlin", "timezone: Asia/Tokyo")
    assert load_tenants(project.settings).tenants["acme"].timezone == "Asia/Tokyo"  # nothing is published yet
    edit(project, "timezone: Asia/Tokyo", "timezone: Europe/Berlin")
    load_tenants(project.settings)
    run()
    edit(project, "timezone: Europe/Berlin", "bigquery: {dataset: acme_two}\ntimezone: Asia/Tokyo")
    registry = load_tenants(project.settings)
    zone, dataset = sorted(registry.rejected["acme"].problems, key=lambda p: p.key, reverse=True)
    assert (zone.key, zone.line, dataset.key, dataset.line) == ("timezone", 4, "bigquery.dataset", 3)
    assert zone.message == "'Asia/Tokyo', and days were published with 'Europe/Berlin'"
    assert "convergence tenants migrate acme" in zone.render()
    assert (registry.tenants["acme"].timezone, registry.tenants["acme"].dataset) == ("Europe/Berlin", "acme")
    wrong = convergence("validate")
    assert (wrong.exit_code, "tenants migrate acme" in wrong.stdout) == (1, True)
    run()
    assert first_bill(project) == datetime(2026, 10, 1, 22, tzinfo=UTC)


def test_the_deployments_own_project_by_its_name_is_no_other_dataset(project: Project) -> None:
    run()
    edit(project, "timezone: Europe/Berlin", "bigquery: {project: my-project}\ntimezone: Europe/Berlin")
    assert "acme" in load_tenants(project.settings).rejected
    assert "acme" not in load_tenants(replace(project.settings, project="my-project")).rejected


def test_a_new_timezone_is_taken_up_every_published_day_is_asked_for_again_and_runs_on_its_new_hours(
    project: Project,
) -> None:
    next_noon = datetime(2026, 10, 3, 12, tzinfo=UTC)  # no other day is due
    (first,) = asked_for(project, at=next_noon)
    run()
    assert asked_for(project, {first.key: "failed"}, next_noon) == []  # published by the command meanwhile
    edit(project, "timezone: Europe/Berlin", "timezone: Asia/Tokyo")
    planned = json.loads(convergence("tenants", "migrate", "acme", "--plan", "--json").stdout)
    assert (planned["from"]["timezone"], planned["to"]["timezone"]) == ("Europe/Berlin", "Asia/Tokyo")
    assert (planned["days"], planned["done"]) == ({"demo_costs": [str(DAY)]}, False)
    assert "acme" in load_tenants(project.settings).rejected
    assert convergence("tenants", "migrate", "acme", said="n\n").exit_code == 1
    assert "acme" in load_tenants(project.settings).rejected

    done = convergence("tenants", "migrate", "acme", said="y\n")
    assert done.exit_code == 0, done.output
    assert f"demo_costs: 1 published days ({DAY}...{DAY}) are requested again" in done.stdout
    assert "holds days of both timezones until all of them have run" in done.stdout
    assert "reload the code location" in done.stdout
    assert load_tenants(project.settings).rejected == {}
    (again,) = asked_for(project)
    assert again.key != first.key
    run()
    assert first_bill(project) == datetime(2026, 10, 1, 15, tzinfo=UTC)
    assert asked_for(project, {again.key: "succeeded"}) == []
    assert "nothing to migrate" in convergence("tenants", "migrate", "acme", "--yes").stdout
    with store_of(project).read() as connection:
        (entry,) = audit.recorded_entries(connection)
    assert entry.entry.action == "tenant.migrate"
    assert "timezone Europe/Berlin -> Asia/Tokyo: 1 days are requested again" in entry.entry.outcome


def test_a_new_dataset_is_filled_anew_and_the_old_one_stays(project: Project) -> None:
    run()
    edit(project, "timezone: Europe/Berlin", "bigquery: {dataset: acme_two}\ntimezone: Europe/Berlin")
    done = convergence("tenants", "migrate", "acme", "--yes")
    assert "dataset acme stays as it is" in done.stdout, done.output
    run()
    assert first_bill(project, "acme_two") == first_bill(project, "acme") == datetime(2026, 10, 1, 22, tzinfo=UTC)
    with store_of(project).read() as connection:
        assert published_locations.all_places(connection) == {"acme": PublishedLocation("Europe/Berlin", "acme_two")}


def test_a_tenant_whose_runs_are_at_work_is_not_migrated(project: Project) -> None:
    run()
    edit(project, "timezone: Europe/Berlin", "timezone: Asia/Tokyo")
    store = store_of(project)
    locks = Locks(store, replace(this_process(), host="another"))
    lock = locks.acquire(Claim("acme", "demo_costs", DAY, DAY), "other")
    held = convergence("tenants", "migrate", "acme", "--yes")
    assert (held.exit_code, "not over (other)" in held.stderr) == (1, True), held.output
    assert "convergence pause acme" in held.stderr
    locks.release([lock.fence])
    with store.write() as connection:
        row = PendingPartition("acme", "demo_costs", DAY, "requested", "asked for: some key")
        partition_states.write_outstanding(connection, [row])
    done = convergence("tenants", "migrate", "acme", "--yes")
    assert (done.exit_code, "asked for: some key" in done.stderr) == (1, True), done.output
    with store.read() as connection:
        assert published_locations.all_places(connection)["acme"].timezone == "Europe/Berlin"


def test_a_run_that_loaded_another_place_for_its_tenant_publishes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    edit(project, "timezone: Europe/Berlin", "timezone: Asia/Tokyo")
    monkeypatch.setattr(
        published_locations, "known_locations", lambda settings: published_locations.Known()
    )  # as where the store did not answer
    result = convergence("run", "acme", "demo_costs", "--partition", str(DAY))
    assert result.exit_code == 1
    assert "days were published with timezone Europe/Berlin, dataset acme" in result.output
    assert first_bill(project) == datetime(2026, 10, 1, 22, tzinfo=UTC)


def test_a_mistake_is_answered_in_a_line(project: Project) -> None:
    for words, message in (
        (("acm",), "did you mean 'acme'"),
        (("acme", "--json"), "say --plan or --yes too"),
    ):
        result = convergence("tenants", "migrate", *words)
        assert (result.exit_code, message in result.output) == (2, True), result.output
    edit(project, "timezone: Europe/Berlin", "timezone: Europe/Berlyn")
    result = convergence("tenants", "migrate", "acme")
    assert (result.exit_code, "Europe/Berlyn" in result.output) == (2, True), result.output
