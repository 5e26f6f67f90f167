"""What the operator sees and does."""

from convergence_assets.control import audit
from convergence_assets.control.locks import Claim
from convergence_assets.control.run_requests import insert_request
from tests.api.service import MARKER, OTHER, Service


def test_tenants_are_listed_and_one_is_shown_with_what_it_has_used(service: Service) -> None:
    store = service.deployment.store
    listed = service.admin("GET", "/admin/tenants").json()["tenants"]
    assert [(tenant["tenant_id"], tenant["state"], tenant["pipelines"]) for tenant in listed] == [
        ("acme", "served", 1), (OTHER, "served", 1)
    ]  # fmt: skip
    before = service.admin("GET", "/admin/tenants/acme").json()
    assert (before["dataset"], before["owners"], before["problems"]) == ("acme", ["finops@acme.example"], [])
    assert [(run["pipeline_id"], run["tables"]) for run in before["runs"]] == [("demo_costs", ["lines", "totals"])]
    day = store.now().date()
    with store.write() as connection:
        insert_request(connection, "one-more", Claim("acme", "demo_costs", day, day), "manual", store.now())
    after = service.admin("GET", "/admin/tenants/acme").json()["plan"]
    assert after["daily_used"] == before["plan"]["daily_used"] + 1
    assert (after["daily_runs"], after["monthly_runs"], after["concurrent_runs"]) == (100, 2000, 2)
    assert service.admin("GET", "/admin/tenants/nobody").status_code == 404


def test_an_alert_is_shown_and_acknowledged_by_name(service: Service) -> None:
    (alert,) = service.admin("GET", "/admin/alerts").json()["alerts"]
    assert (alert["tenant_id"], alert["title"], alert["acknowledged_by"]) == (OTHER, f"{MARKER} failed", None)
    path = f"/admin/alerts/{alert['fingerprint']}/ack"
    seen_to = service.admin("POST", path, {"by": "anna"})
    assert (seen_to.status_code, seen_to.json()["acknowledged_by"]) == (200, "anna")
    assert service.admin("POST", path).json()["acknowledged_by"] == "admin", "the body may be left out"
    assert service.admin("POST", "/admin/alerts/0000/ack").status_code == 404
    assert service.admin("POST", path, {"by": "anna\n"}).status_code == 422
    with service.deployment.store.read() as connection:
        entries = [
            noted.entry for noted in audit.recorded_entries(connection, OTHER) if noted.entry.action == "alert.ack"
        ]
    assert [(entry.actor, entry.subject, entry.address) for entry in entries] == [
        ("admin", alert["fingerprint"], "127.0.0.1"), ("anna", alert["fingerprint"], "127.0.0.1")
    ]  # fmt: skip
    assert service.admin("GET", "/admin/alerts?state=all").json()["alerts"][0]["fingerprint"] == alert["fingerprint"]


def test_a_run_that_is_two_tenants_is_ended_by_neither(service: Service) -> None:
    answer = service.post(f"/api/v1/executions/{service.ids['shared']}/cancel")
    assert (answer.status_code, answer.json()["error"]) == (409, "shared")
    over = service.post(f"/api/v1/executions/{service.ids['good']}/cancel")
    assert (over.status_code, over.json()["error"]) == (409, "is_over")
    with service.deployment.store.read() as connection:
        entries = [
            noted.entry for noted in audit.recorded_entries(connection, "acme") if noted.entry.action == "run.cancel"
        ]
    assert [(entry.subject, entry.outcome) for entry in entries] == [(service.ids["good"], "it was over")]
