"""`convergence doctor` and BigQuery: credentials, the project, permissions."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from convergence_assets.diagnostics.doctor.examine import Setup
from tests.cli.doctor_findings import Doctor, found, states
from tests.peer.peer_server import Peer
from tests.warehouse.bigquery.fake_bigquery import FakeBigQuery, Refusal, fake_bigquery, refused


def test_no_google_credentials(doctor: Doctor, tmp_path: Path) -> None:
    code, output = doctor(GCP_PROJECT_ID="a-project", HOME=str(tmp_path), NO_GCE_CHECK="true")
    assert code == 1
    (finding,) = output["Google credentials"]
    assert finding["state"] == "broken"
    assert "BigQuery is chosen (GCP_PROJECT_ID is set) and there are none" in finding["seen"]
    assert finding["next_step"].startswith("gcloud auth application-default login")
    assert {name for name, found in states(output).items() if "broken" in found} == {
        "Google credentials", "code location",
    }, "one cause is told once"  # fmt: skip
    for name in ("warehouse", "permissions"):
        assert output[name][0]["seen"] == "not looked at, since Google credentials is broken"


@pytest.fixture
def google(setup: Setup) -> Iterator[tuple[FakeBigQuery, Setup]]:
    with fake_bigquery() as fake:
        settings = replace(setup.settings, warehouse="bigquery", project="a-project", emulator=fake.url)
        yield fake, replace(setup, settings=settings)


@pytest.mark.parametrize(
    ("refusal", "seen", "next_step"),
    [
        (Refusal(404, "notFound", "Not found: Project a-project"), "project a-project is not known to BigQuery",
         "set GCP_PROJECT_ID to one that"),
        (Refusal(400, "invalid", "Invalid project ID 'a-project'"), "project a-project: Invalid project ID",
         "set GCP_PROJECT_ID to one that"),
        (Refusal(403, "accessDenied", "Access Denied: Project a-project: User does not have bigquery.jobs.create "
         "permission in project a-project."), "bigquery.jobs.create", "roles/bigquery.jobUser"),
        (Refusal(503, "backendError", "try later"), "try later", "network and status page"),
        (Refusal(503, "backendError", "no answer of /projects/a-project/jobs"), "no answer", "network and status page"),
        (Refusal(403, "quotaExceeded", "Quota exceeded: Your project exceeded quota for free query bytes scanned."),
         "a quota of project a-project is used up: Quota exceeded: Your project exceeded quota for free query bytes",
         "raise it under IAM & Admin, Quotas"),
        (Refusal(403, "quotaExceeded", "Custom quota exceeded: Your usage exceeded the custom quota for "
         "QueryUsagePerDay, which is set by your administrator"), "custom quota for QueryUsagePerDay", "next period"),
        (Refusal(403, "rateLimitExceeded", "Exceeded rate limits: too many concurrent queries for this project"),
         "too many concurrent queries", "lower the runs at a time"),
    ],
)  # fmt: skip
def test_a_wrong_project_a_missing_permission_and_a_quota_are_told_apart(
    google: tuple[FakeBigQuery, Setup], refusal: Refusal, seen: str, next_step: str
) -> None:
    fake, setup = google
    fake.refusals = [refusal] * 5
    (finding,) = found("warehouse", setup)
    assert finding.state == "broken"
    assert seen in finding.seen
    assert next_step in finding.next_step


def test_a_table_that_may_not_be_read_is_named_with_its_tenant(google: tuple[FakeBigQuery, Setup]) -> None:
    fake, setup = google
    (fine,) = found("permissions", setup)
    assert fine.state == "ok", fine
    shutil.rmtree(setup.settings.home)  # what was looked at is remembered for the day
    message = "Access Denied: Table a-project:acme_billing_export.t: User does not have permission to query table"
    fake.dry_run = lambda body: refused(Refusal(403, "accessDenied", message))  # type: ignore[method-assign]
    findings = found("permissions", setup)
    assert {finding.state for finding in findings} == {"broken"}
    assert findings[0].seen.startswith("acme, table gcp_cost_line_items: access_denied: Access Denied: Table")
    assert "roles/bigquery.dataViewer on the sources" in findings[0].next_step


@pytest.mark.peer
@pytest.mark.slow
def test_on_the_local_bigquery_server_the_warehouse_its_clock_and_permissions_are_well(
    doctor: Doctor, peer: Peer
) -> None:
    _, output = doctor(**peer.variables)
    assert states({name: output[name] for name in ("Google credentials", "warehouse", "permissions", "clock")}) == {
        "Google credentials": {"ok"}, "warehouse": {"ok"}, "permissions": {"ok"}, "clock": {"ok"},
    }  # fmt: skip
