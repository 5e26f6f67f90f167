"""`POST /admin/tenants`: a tenant planned, made, refused, taken back, as the command does it."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence_assets.api.onboarding import AT_ONCE
from convergence_assets.control import audit
from convergence_assets.warehouse.duckdb.files import DatasetLock, Layout
from convergence_assets.warehouse.schema import Dataset
from tests.api.service import ADMIN_KEY, Service
from tests.api.test_cancellation import served, settings_at
from tests.unprivileged import as_anybody

PATH = "/admin/tenants"
TABLES = 10
HOOLI: dict[str, Any] = {
    "tenant_id": "hooli", "display_name": "Hooli", "timezone": "America/Los_Angeles", "templates": ["gcp_billing"],
    "with": {"gcp_billing": {"export_table": "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"}},
    "start_date": "2026-10-01",
}  # fmt: skip


def hooli(**more: object) -> dict[str, Any]:
    return HOOLI | more


def tree(service: Service) -> set[str]:
    return {str(file) for file in Path(service.settings.tenants).rglob("*") if file.is_file()}


def warehouse_of(service: Service) -> Layout:
    return Layout(service.settings.warehouse_folder)


def test_a_plan_shows_what_would_be_made_and_changes_nothing(fresh: Service) -> None:
    before = tree(fresh)
    shown = fresh.admin("POST", PATH, hooli(only_plan=True))
    assert shown.status_code == 200, shown.text
    body = shown.json()
    assert (body["outcome"], body["done"], body["secret"]) == ("planned", [], None)
    assert "timezone: America/Los_Angeles" in body["plan"]["content"]
    assert "hooli.gcp_focus" in body["plan"]["tables"]
    assert body["plan"]["schedules"][0]["first_due_at"] == "2026-10-02T13:00:00Z"
    assert tree(fresh) == before
    assert fresh.admin("GET", f"{PATH}/hooli").status_code == 404


def test_a_tenant_is_made_at_once_with_a_key_that_is_shown_once(fresh: Service) -> None:
    response = fresh.admin("POST", PATH, hooli(created_by="anna"))
    assert response.status_code == 201, response.text
    created = response.json()
    assert (created["outcome"], len(created["done"])) == ("onboarded", TABLES + 2)
    assert fresh.admin("GET", f"{PATH}/hooli").json()["state"] == "served"
    own = fresh.client.get("/api/v1/pipelines", headers={"x-api-key": created["secret"]})
    assert [pipeline["pipeline_id"] for pipeline in own.json()["pipelines"]] == ["gcp_billing"]
    for body in (hooli(created_by="bert"), {"tenant_id": "hooli"}):
        again = fresh.admin("POST", PATH, body)
        assert again.status_code == 200, again.text
        assert (again.json()["outcome"], again.json()["done"], again.json()["secret"]) == ("unchanged", [], None)
    with fresh.deployment.store.read() as connection:
        entries = [noted.entry for noted in audit.recorded_entries(connection, "hooli")]
    assert [(entry.actor, entry.action, entry.address) for entry in entries] == [
        ("anna", "tenant.onboard", "127.0.0.1"), ("anna", "key.create", "127.0.0.1")
    ]  # fmt: skip


def test_what_stands_otherwise_is_refused_with_the_differences(fresh: Service) -> None:
    refused = fresh.admin("POST", PATH, {"tenant_id": "acme", "timezone": "UTC", "plan": "enterprise"})
    assert (refused.status_code, refused.json()["error"]) == (409, "exists")
    assert refused.json()["reasons"] == [
        "tenant acme is there with other settings", "timezone: is Europe/Berlin, asked for UTC",
        "plan: is not given, asked for enterprise",
    ]  # fmt: skip


def test_all_that_is_missing_or_wrong_is_named_and_nothing_is_made(fresh: Service) -> None:
    before = tree(fresh)
    missing = fresh.admin("POST", PATH, {"tenant_id": "hooli", "templates": ["gcp_billing"]})
    assert (missing.status_code, missing.json()["reasons"]) == (
        422,
        ["display_name is missing", "timezone is missing", "start_date is missing",
         "with gcp_billing.export_table is missing"],
    )  # fmt: skip
    wrong = fresh.admin("POST", PATH, hooli(timezone="Europe/Berlim", owners=["nobody"], schedule="often"))
    assert wrong.status_code == 422
    reasons = " ".join(wrong.json()["reasons"])
    assert all(word in reasons for word in ("timezone", "did you mean 'Europe/Berlin'", "owners[0]", "schedule"))
    for more, name in (
        ({"tenant_id": "admin"}, "tenant_id"), ({"tenant_id": "../hooli"}, "tenant_id"),
        ({"with": {"gcp_biling": {"x": 1}}}, "gcp_biling"), ({"dataset": "acme"}, "acme"), ({"unknown": 1}, "unknown"),
        ({"display_name": "x" * 301}, "display_name"),
    ):  # fmt: skip
        answer = fresh.admin("POST", PATH, hooli(**more))
        assert (answer.status_code, name in answer.json()["message"]) == (422, True), answer.text
    hidden = fresh.admin("POST", PATH, hooli(alert_routes=["critical=slack://secret/token"]))
    assert (hidden.status_code, "alert_routes" in hidden.text, "token" in hidden.text) == (422, True, False)
    assert fresh.client.post(PATH, json=HOOLI).status_code == 401
    assert fresh.post(PATH, HOOLI).status_code == 401, "a tenant's key opens nothing of this"
    assert tree(fresh) == before


def test_a_step_that_fails_says_what_was_taken_back(fresh: Service) -> None:
    before = tree(fresh)
    file = warehouse_of(fresh).dataset_file(Dataset("hooli"))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database of ours" * 1000)
    failed = fresh.admin("POST", PATH, HOOLI)
    assert failed.status_code == 503, failed.text
    body = failed.json()
    assert (body["error"], body["left"]) == ("onboarding_failed", [])
    assert body["undone"] == [f"removed {fresh.settings.tenants}/hooli/tenant.yaml"]
    assert "making table" in body["message"]
    assert tree(fresh) == before
    file.unlink()
    assert fresh.admin("POST", PATH, HOOLI).status_code == 201


@pytest.mark.slow
def test_while_the_warehouse_keeps_it_waiting_everything_else_is_answered(fresh: Service) -> None:
    fresh.secrets["acme"] = fresh.key()
    names = [f"hooli_{n}" for n in range(AT_ONCE)]
    locks = [DatasetLock(warehouse_of(fresh), Dataset(name)).exclusive(10) for name in names]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for lock in locks:
            lock.__enter__()
        requests = [
            threads.submit(httpx.post, f"{fresh.url}{PATH}", json=hooli(tenant_id=name, dataset=name),
                           headers={"x-admin-key": ADMIN_KEY}, timeout=120)
            for name in names
        ]  # fmt: skip
        files = [Path(fresh.settings.tenants, name, "tenant.yaml") for name in names]
        deadline = time.monotonic() + 60
        while not all(file.exists() for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(20):
            assert fresh.client.get("/health/live").status_code == 200
            assert fresh.get("/api/v1/pipelines").status_code == 200
        busy = fresh.admin("POST", PATH, hooli(tenant_id="one_more", dataset="one_more"))
        assert not any(one.done() for one in requests), "they still wait"
        for lock in locks:
            lock.__exit__(None, None, None)
        answers = [one.result() for one in requests]
    assert (busy.status_code, busy.json()["error"]) == (429, "busy")
    assert [answer.status_code for answer in answers] == [201] * AT_ONCE, [answer.text for answer in answers]


def test_of_two_that_ask_for_one_tenant_at_once_one_makes_it(fresh: Service) -> None:
    def ask(minute: int) -> int:
        body = hooli(schedule=f"{minute} 6 * * *")
        headers = {"x-admin-key": ADMIN_KEY}
        return httpx.post(f"{fresh.url}{PATH}", json=body, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(ask, (10, 20))) == [201, 409]


@pytest.mark.live
def test_where_the_folder_cannot_be_written_the_answer_is_the_file_to_commit(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    settings.home.mkdir(parents=True, exist_ok=True)
    tenants = Path(settings.tenants)
    tenants.chmod(0o555)
    with served(settings, as_anybody, CONVERGENCE_ADMIN_KEY=ADMIN_KEY) as (_, url, _):
        asking = {"headers": {"x-admin-key": ADMIN_KEY}, "json": HOOLI, "timeout": 60}
        handed = httpx.post(f"{url}{PATH}", **asking)  # type: ignore[arg-type]
        assert (handed.status_code, handed.json()["error"]) == (409, "read_only"), handed.text
        assert handed.json()["file"] == f"{tenants}/hooli/tenant.yaml"
        assert not Layout(settings.warehouse_folder).datasets()
        tenants.chmod(0o755)
        (tenants / "hooli").mkdir()
        (tenants / "hooli" / "tenant.yaml").write_text(handed.json()["content"])
        tenants.chmod(0o555)
        response = httpx.post(f"{url}{PATH}", **asking)  # type: ignore[arg-type]
        assert (response.status_code, len(response.json()["done"])) == (201, TABLES + 1), response.text
    tenants.chmod(0o755)


@pytest.mark.live
def test_told_to_end_it_finishes_the_tenant_that_it_makes(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    settings.home.mkdir(parents=True, exist_ok=True)
    answers: list[httpx.Response] = []
    with served(settings, CONVERGENCE_ADMIN_KEY=ADMIN_KEY) as (process, url, _):

        def ask() -> None:
            headers = {"x-admin-key": ADMIN_KEY}
            answers.append(httpx.post(f"{url}{PATH}", json=HOOLI, headers=headers, timeout=60))

        asking = threading.Thread(target=ask)
        with DatasetLock(Layout(settings.warehouse_folder), Dataset("hooli")).exclusive(10):
            asking.start()
            deadline = time.monotonic() + 60
            while not Path(settings.tenants, "hooli", "tenant.yaml").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            time.sleep(2)  # past the time in which it still takes requests
            assert process.poll() is None
        asking.join(60)
        assert process.wait(30) == 0
    assert [answer.status_code for answer in answers] == [201], answers[0].text
    assert answers[0].json()["secret"].startswith("cvg_")
