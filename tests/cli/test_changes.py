"""`convergence changes`: what was edited, what a run made of it, and who did what, in one order."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.main import app
from convergence_assets.control import audit
from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.sensors import build_sensors
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests.assets.project import TENANTS, Project, hourly

DAY = date(2026, 10, 2)


@pytest.fixture
def tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = Path(shutil.copytree(TENANTS, tmp_path / "tenants"))
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(found))
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")
    project = Project.at(tmp_path / "home")
    project.load_bills(hourly(DAY, project.tenant.timezone, 1.0))
    return found


def convergence(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, words)


def changes(*words: str) -> list[dict[str, Any]]:
    result = convergence("changes", "--json", *words)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def run() -> None:
    result = convergence("run", "acme", "demo_costs", "--partition", str(DAY))
    assert result.exit_code == 0, result.output


def test_an_edit_a_new_column_and_a_deed_are_told_in_their_order(tenants: Path) -> None:
    run()
    first = changes("--since", "1h")
    assert [(c["kind"], c["subject"], c["said"]) for c in first] == [
        ("config", "tenant acme", "first seen"),
        ("schema", "table acme.lines", "made"),
        ("schema", "table acme.totals", "made"),
    ]
    assert len({c["by"] for c in first}) == 1
    run()
    assert changes("--since", "1h") == first

    pipeline = tenants / "acme" / "pipelines" / "demo_costs"
    text = (pipeline / "pipeline.yaml").read_text()
    (pipeline / "pipeline.yaml").write_text(
        text.replace("{name: mean,", "{name: most, type: NUMERIC}\n      - {name: mean,")
    )
    sql = (pipeline / "totals.sql").read_text()
    (pipeline / "totals.sql").write_text(sql.replace("AVG(cost) AS mean", "AVG(cost) AS mean,\n  MAX(cost) AS most"))
    run()
    settings = Settings.from_env()
    store = ControlStore.open(settings)
    with store.write() as connection:
        audit.record_entry(connection, audit.AuditEntry("jo", "tenant.offboard", "done", "acme"), store.now())
        audit.record_entry(connection, audit.AuditEntry("unknown", "auth", "refused: no such key"), store.now())
    added, column, action = changes("--since", "1h")[3:]
    assert added["said"].startswith("definition of demo_costs/totals: ")
    assert (column["kind"], column["said"]) == ("schema", "columns added: most")
    assert (action["kind"], action["said"], action["by"]) == ("deed", "tenant.offboard", "jo")
    shown = convergence("changes", "--since", "1h", "--tenant", "acme").stdout
    assert all(word in shown for word in ("columns added: most", "tenant.offboard", "run "))
    assert changes("--since", "2030-01-01") == []
    assert "nothing has changed since 2030-01-01" in convergence("changes", "--since", "2030-01-01").stdout


def test_a_code_location_notes_what_it_has_loaded_in_its_first_tick_alone(tenants: Path) -> None:
    settings = Settings.from_env()
    sensors = {s.name: s for s in build_sensors(load_tenants(settings), settings)}
    with dg.instance_for_test() as instance:
        for name in ("alerts", "ledger", "alerts"):
            sensors[name].evaluate_tick(dg.build_sensor_context(instance))
    assert [(c["kind"], c["subject"]) for c in changes()] == [("release", "packages"), ("config", "tenant acme")]
    file = tenants / "acme" / "tenant.yaml"
    file.write_text(file.read_text().replace("display_name: ", "display_name: New "))
    again = {s.name: s for s in build_sensors(load_tenants(settings), settings)}
    with dg.instance_for_test() as instance:
        again["stuck_runs"].evaluate_tick(dg.build_sensor_context(instance))
    assert changes()[-1]["said"].startswith("files: ")


def test_a_mistake_is_answered_in_a_line(tenants: Path) -> None:
    for words, message in ((("--since", "lately"), "how long ago"), (("--tenant", "acm"), "did you mean 'acme'")):
        result = convergence("changes", *words)
        assert (result.exit_code, message in result.output) == (2, True), result.output
