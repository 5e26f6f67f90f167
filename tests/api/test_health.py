"""What liveness and readiness say, and what they cost."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence_assets.api import readiness
from convergence_assets.api.readiness import Part
from convergence_assets.dagster_internals import automation_states
from convergence_assets.monitoring.automation import DAEMONS
from tests.api.service import Service, serving


@pytest.fixture
def working(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """As beside a daemon that lives and has loaded the code location."""
    now = datetime.now(UTC)
    monkeypatch.setattr(automation_states, "daemon_heartbeats", lambda instance: dict.fromkeys(DAEMONS, now))
    tick = automation_states.Automation("catch_up", "sensor", timedelta(seconds=30), now, ("SKIPPED",), None)
    monkeypatch.setattr(automation_states, "automations", lambda instance, ticks: iter([tick]))
    return fresh


def test_live_asks_nobody(fresh: Service) -> None:
    fresh.deployment.store = None  # type: ignore[assignment]
    answer = fresh.client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


def test_ready_when_everything_works_and_says_which_warehouse(working: Service) -> None:
    answer = working.client.get("/health/ready")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["status"], body["warehouse"], body["not_ready"]) == ("ready", "embedded", [])
    assert set(body["parts"]) == {"control_store", "dagster_storage", "daemons", "code_location", "warehouse"}
    assert "embedded" in body["parts"]["warehouse"]["said"]


def test_without_a_daemon_it_names_what_is_missing(fresh: Service) -> None:
    answer = fresh.client.get("/health/ready")
    assert (answer.status_code, answer.json()["not_ready"]) == (503, ["daemons", "code_location"])
    assert "QUEUED_RUN_COORDINATOR (never)" in answer.json()["parts"]["daemons"]["said"]
    assert "no sensor has ever ticked" in answer.json()["parts"]["code_location"]["said"]


def test_a_daemon_that_fell_silent_and_a_location_that_is_not_loaded_are_named(
    fresh: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    beats = dict.fromkeys(DAEMONS, now) | {"SENSOR": now - timedelta(minutes=4)}
    monkeypatch.setattr(automation_states, "daemon_heartbeats", lambda instance: beats)
    tick = automation_states.Automation("catch_up", "sensor", None, now - timedelta(minutes=6), ("FAILURE",), "no")
    monkeypatch.setattr(automation_states, "automations", lambda instance, ticks: iter([tick]))
    body = fresh.client.get("/health/ready").json()
    assert body["not_ready"] == ["daemons", "code_location"]
    assert body["parts"]["daemons"]["said"].startswith("no heartbeat of SENSOR (last ")
    assert "no sensor has ticked since" in body["parts"]["code_location"]["said"]


def test_a_store_that_is_gone_is_named_and_its_place_is_not(working: Service, tmp_path: Path) -> None:
    home = Path(working.settings.home)
    (home / "control.db").rename(home / "away.db")
    (home / "control.db").mkdir()
    answer = working.client.get("/health/ready")
    assert (answer.status_code, answer.json()["not_ready"]) == (503, ["control_store"])
    assert answer.json()["parts"]["control_store"]["said"] == "ControlError; the log has the details"
    assert str(home) not in answer.text
    refused = working.client.get("/api/v1/pipelines", headers={"x-api-key": "cvg_0123456789_x"})
    assert (refused.status_code, refused.json()["error"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"


def test_probes_cost_nothing_and_one_that_hangs_holds_nobody_up(
    working: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, let_go = [0], threading.Event()

    def hangs() -> Part:
        calls[0] += 1
        let_go.wait(60)
        return Part(True, "at last")

    monkeypatch.setattr(readiness, "PART_SECONDS", 0.3)
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.5)
    working.deployment.readiness._parts["warehouse"] = readiness._Probe(hangs)
    for _ in range(20):
        answer = working.client.get("/health/ready")
        assert (answer.status_code, answer.json()["not_ready"]) == (503, ["warehouse"])
    assert calls == [1], "a part that does not answer is not asked again"
    let_go.set()


def test_who_is_about_to_end_is_not_ready(working: Service) -> None:
    working.deployment.draining.set()
    answer = working.client.get("/health/ready")
    assert (answer.status_code, answer.json()["not_ready"]) == (503, ["api"])
    assert answer.headers["connection"] == "close"
    assert working.client.get("/health/live").status_code == 200


def test_tenants_that_change_are_seen_and_broken_ones_leave_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        file = Path(service.settings.tenants) / "acme" / "tenant.yaml"
        file.write_text(file.read_text().replace("display_name: Acme", "display_name: Acme Rockets"))
        service.deployment.served._looked_at = 0
        deadline = time.monotonic() + 20
        while service.admin("GET", "/admin/tenants/acme").json()["display_name"] != "Acme Rockets":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        file.write_text("tenant_id: [")
        service.deployment.served.refresh()
        found = {tenant["tenant_id"]: tenant for tenant in service.admin("GET", "/admin/tenants").json()["tenants"]}
        assert found["acme"]["state"] == "rejected_old_version_served"
        assert found["globex_zzsecret"]["state"] == "served"
        assert service.admin("GET", "/admin/tenants/acme").json()["problems"]
