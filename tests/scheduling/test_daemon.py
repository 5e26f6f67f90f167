"""A real daemon with nobody asking: a new tenant's days arrive, the newest first, the older ones in one run."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from tests.assets.dagster_server import dagster_dev, environment
from tests.assets.project import TENANTS, Project, hourly

BERLIN = "Europe/Berlin"
RUNS = """{ runsOrError { ... on Runs { results { runId status startTime tags { key value } } } } }"""


@pytest.mark.live
@pytest.mark.timeout(300)
def test_the_days_of_a_new_tenant_arrive_by_themselves_and_each_once(project: Project, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC).astimezone(ZoneInfo(BERLIN)).date() - timedelta(days=1)
    days = [yesterday - timedelta(days=n) for n in reversed(range(4))]
    tenants = tmp_path / "tenants"
    shutil.copytree(TENANTS, tenants)
    file = tenants / "acme" / "tenant.yaml"
    text = file.read_text().replace("paused: true", "paused: false")
    file.write_text(text.replace("start_date: 2026-03-01", f'start_date: {days[0]}\n    schedule: "* * * * *"'))
    project.load_bills([row for day in days for row in hourly(day, BERLIN, 1.25)])
    environ = environment(project, CONVERGENCE_TENANTS=str(tenants))
    with dagster_dev(environ) as ask:
        deadline = time.monotonic() + 200
        runs: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            time.sleep(1)
            runs = ask(RUNS)["runsOrError"]["results"]
            if len(runs) >= 2 and all(r["status"] in ("SUCCESS", "FAILURE") for r in runs):
                break
    assert [r["status"] for r in runs] == ["SUCCESS", "SUCCESS"], (
        Path(environ["DAGSTER_HOME"]) / "dev.log"
    ).read_text()[-3000:]
    older, newest = ({t["key"]: t["value"] for t in r["tags"]} for r in runs)
    assert newest["dagster/partition"] == str(yesterday)
    assert newest["convergence/trigger"] == "schedule"
    assert older["dagster/asset_partition_range_start"] == str(days[0])
    assert older["dagster/asset_partition_range_end"] == str(days[2])
    for tags in (older, newest):
        assert "dagster-k8s/config" not in tags  # it is for pods
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [4]
    with dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance:
        limits = {p.name: p.limit for p in instance.event_log_storage.get_pool_limits()}
        assert limits["tenant_acme"] == 2
