"""The API beside a real daemon: ready once all of it works, runs come of what is asked for and end when told to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from convergence_assets.api.deployment import Deployment
from convergence_assets.api.rate_limits import Limits
from convergence_assets.control.partition_states import Pauses
from tests.api.service import ADMIN_KEY, GENEROUS
from tests.api.service import running as serving_at
from tests.assets.project import Project
from tests.run_launcher.platform_in_a_process import BERLIN, WARM, running


@pytest.mark.live
@pytest.mark.timeout(400)
def test_runs_are_asked_for_shown_and_ended_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.at(tmp_path / "home")
    yesterday = datetime.now(UTC).astimezone(ZoneInfo(BERLIN)).date() - timedelta(days=1)
    before = yesterday - timedelta(days=1)
    # The launcher finds the control store by the environment of its process.
    monkeypatch.setenv("CONVERGENCE_HOME", str(project.settings.home))
    with running(project, WARM, (before, yesterday), first=before) as platform, platform.instance() as instance:
        tenants = str(project.settings.home / "tenants")
        settings = replace(project.settings, tenants=tenants, admin_key=ADMIN_KEY)
        limits = Limits(None, tenant=GENEROUS, admin=GENEROUS)
        with Deployment.opened(settings, instance, limits) as deployment, serving_at(deployment) as url:
            secret = deployment.keys.create("acme", "test").secret
            client = httpx.Client(base_url=url, headers={"x-api-key": secret}, timeout=30)

            def found(run_id: str) -> httpx.Response | None:
                answer = client.get(f"/api/v1/executions/{run_id}")
                return answer if answer.status_code == 200 else None

            platform.wait_for(lambda: client.get("/health/ready").status_code == 200, 90)
            assert client.get("/health/ready").json()["not_ready"] == []

            platform.plan({yesterday: "sleep"})
            hangs, waits = platform.launch(yesterday), platform.launch(before, blocked="yes")
            process = platform.wait_for_start(hangs, 90)
            platform.wait_for(lambda: (begun := found(hangs)) and begun.json()["status"] == "running", 90)
            platform.wait_for(lambda: found(waits), 90)
            running_now = client.get("/api/v1/pipelines/executions", params={"status": "running"}).json()
            assert [run["run_id"] for run in running_now["executions"]] == [hangs]
            ended = {run_id: client.post(f"/api/v1/executions/{run_id}/cancel") for run_id in (hangs, waits)}
            assert {answer.status_code for answer in ended.values()} == {202}
            assert ended[waits].json()["done"] == "taken out of the queue"
            assert platform.wait_for_end(hangs) == platform.wait_for_end(waits) == "CANCELED"
            process.wait(30)
            again = client.post(f"/api/v1/executions/{hangs}/cancel")
            assert (again.status_code, again.json()["error"]) == (409, "is_over")

            platform.plan({})
            Pauses(platform.store()).resume("acme", None)
            platform.wait_for(
                lambda: client.get("/api/v1/pipelines").json()["pipelines"][0]["last_published"] == str(yesterday), 150
            )
            partition = {"partition": str(yesterday)}

            def requested() -> dict[str, str] | None:
                answer = client.post("/api/v1/pipelines/demo_costs/runs", json=partition)
                assert answer.status_code in (202, 409), answer.text
                return answer.json() if answer.status_code == 202 else None

            request = platform.wait_for(requested, 90)
            done = platform.wait_for(
                lambda: (
                    body := client.get(f"/api/v1/requests/{request['request_id']}").json(),
                    body if body["state"] == "done" and body["run_id"] else None,
                )[1],
                150,
            )
            run = client.get(f"/api/v1/executions/{done['run_id']}").json()
            assert (run["status"], run["partition_start"], run["rows_published"]) == ("succeeded", str(yesterday), 25)
            (key,) = deployment.keys.all("acme")
            assert (run["trigger"], run["triggered_by"]) == ("api", key.key_id)
            assert {step["table"]: step["rows_published"] for step in run["steps"]} == {"lines": 24, "totals": 1}
            assert all(check["passed"] for check in run["checks"])
            assert {check["table"] for check in run["checks"]} == {"lines", "totals"}
