"""`convergence doctor` and tenants: their files, API keys and alerts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence_assets.control import outbox
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.diagnostics.doctor.examine import Limits, Setup
from convergence_assets.tenancy.registry import load_tenants
from tests.cli.doctor_findings import Doctor, found, fresh


def test_a_bad_tenant_file(doctor: Doctor, tenants: Path, setup: Setup) -> None:
    load_tenants(setup.settings)
    (tenants / "acme" / "tenant.yaml").write_text("tenant_id: acme\ntimezon: UTC\n")
    (tenants / "newone").mkdir()
    code, output = doctor()
    acme, newone = output["tenant files"]
    assert (code, acme["state"], newone["state"]) == (1, "broken", "broken")
    assert "tenant acme is rejected, it is served on its last accepted version" in acme["seen"]
    assert "did you mean 'timezone'" in acme["seen"]
    assert acme["next_step"] == "correct it; `convergence validate --tenant acme` checks"
    assert "tenant newone is rejected, it is not served" in newone["seen"]
    (tenants / "_defaults.yaml").write_text("plan: none\n")
    assert any("_defaults.yaml" in finding["seen"] for finding in doctor()[1]["tenant files"])
    assert "does not exist" in doctor(CONVERGENCE_TENANTS="/nowhere")[1]["tenant folder"][0]["seen"]


def test_keys_that_have_expired_or_soon_will(setup: Setup) -> None:
    long_ago = Keys(ControlStore.open(setup.settings, now=lambda: datetime.now(UTC) - timedelta(days=10)))
    over, covered = long_ago.create("acme", "anna", days=1), long_ago.create("globex", "anna", days=1)
    revoked = long_ago.create("acme", "anna", days=1)
    long_ago.revoke(revoked.key_id, "anna")
    soon = long_ago.create("globex", "anna", days=15)
    findings = {finding.seen.split()[0]: finding for finding in found("API keys", setup)}
    assert set(findings) == {over.key_id, covered.key_id, soon.key_id}
    assert findings[over.key_id].state == "broken"
    assert f"convergence keys extend {over.key_id}" in findings[over.key_id].next_step
    assert findings[covered.key_id].state == findings[soon.key_id].state == "warning"
    assert found("API keys", replace(setup, limits=Limits(key_expires_within=timedelta(days=1))))


def test_a_route_without_its_variable_is_broken_where_runs_are_asked_for(
    variables: dict[str, str], setup: Setup, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME__SLACK_URL", raising=False)
    file = tenants / "acme" / "tenant.yaml"
    assert found("alert routes", setup)[0].state == "warning"
    file.write_text(file.read_text().replace("paused: true", "paused: false"))
    assert found("alert routes", replace(setup))[0].state == "broken"


def test_a_route_whose_secret_is_missing_and_no_route_at_all(
    setup: Setup, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME__SLACK_URL", raising=False)
    missing, none = found("alert routes", setup)
    assert (missing.state, missing.seen) == (
        "warning", "acme/routes[0]: environment variable ACME__SLACK_URL is not set",
    )  # fmt: skip
    assert "convergence alerts test acme" in missing.next_step
    assert (none.state, "_defaults.yaml" in none.next_step) == ("warning", True)
    monkeypatch.setenv("ACME__SLACK_URL", "slack://a/b/c")
    routes = '\nalerts: {routes: [{severities: [critical, warning], to: "mailto://ops@here.example"}]}\n'
    (tenants / "_defaults.yaml").write_text((tenants / "_defaults.yaml").read_text() + routes)
    (fine,) = found("alert routes", fresh(setup))
    assert fine.state == "ok"


def test_messages_that_cannot_be_delivered(setup: Setup) -> None:
    store = ControlStore.open(setup.settings)
    now = store.now()
    with store.write() as connection:
        outbox.enqueue_message(connection, "one", "acme/routes[0]", "trigger", "{}", now)
        waiting = outbox.claim_next(connection, "acme/routes[0]", "me", now)
        assert waiting is not None
        outbox.mark_failed(connection, waiting, "me", now, error="404 no_such_channel", next_try_at=now, refused=False)
    finding = next(finding for finding in found("alert routes", setup) if "404 no_such_channel" in finding.seen)
    assert finding.state == "broken"
    assert "convergence alerts test acme" in finding.next_step
