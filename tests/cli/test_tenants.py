"""`convergence tenants` as a newcomer uses it: onboard, run, look, offboard."""

import json
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DemoTenant
from tests.cli.onboarding import HOOLI, TABLES, Convergence, onboarded
from tests.peer.peer_server import Peer


@pytest.mark.live
def test_a_newcomer_onboards_runs_looks_and_offboards(convergence: Convergence, tmp_path: Path) -> None:
    shown = convergence("tenants", "onboard", "--help")
    assert all(word in shown.stdout for word in ("--plan", "--template", "--with", "Example: convergence tenants"))
    done = convergence("tenants", "onboard", *HOOLI, "--owner", "finops@hooli.example", "--yes")
    assert done.returncode == 0, done.stderr
    assert "tenant hooli is onboarded" in done.stdout
    assert "API key, shown this once: cvg_" in done.stdout
    assert "next     bring what it reads: convergence load hooli gcp_billing billing_export FILES" in done.stdout
    assert "next     run a day: convergence run hooli gcp_billing --partition 2026-10-01" in done.stdout
    assert convergence("validate", "--tenant", "hooli").returncode == 0
    day = date(2026, 10, 1)
    hooli = DemoTenant("hooli", "America/Los_Angeles")
    bills = generate_bills(tmp_path / "bills", hooli, day, day, seed=3, rows_per_day=300)
    assert convergence("load", "hooli", "gcp_billing", "billing_export", *map(str, bills)).returncode == 0
    ran = convergence("run", "hooli", "gcp_billing", "--partition", str(day))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (payload,) = [t for t in map(json.loads, convergence("tenants", "list", "--json").stdout.splitlines())
               if t["tenant"] == "hooli"]  # fmt: skip
    assert (payload["status"], payload["last_published"], payload["dataset"]) == ("served", "2026-10-01", "hooli")
    assert "gcp_focus: last published 2026-10-01" in convergence("tenants", "show", "hooli").stdout
    ended = convergence("tenants", "offboard", "hooli")
    assert ended.returncode == 0
    assert "stays: dataset hooli with all its tables" in ended.stdout
    assert "stays: 1 API key(s)" in ended.stdout
    assert json.loads(convergence("tenants", "show", "hooli", "--json").stdout)["status"] == "disabled"
    kept = convergence("query", "SELECT COUNT(*) AS n FROM hooli.gcp_focus", "--csv")
    assert int(kept.stdout.split()[1]) > 0


@pytest.mark.live
def test_tenants_behind_a_url_are_written_there(convergence: Convergence, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/tenants"
    done = onboarded(convergence, CONVERGENCE_TENANTS=url)
    assert (done["outcome"], done["plan"]["file"]) == ("onboarded", f"{url}/hooli/tenant.yaml")
    assert onboarded(convergence, CONVERGENCE_TENANTS=url)["outcome"] == "unchanged"
    ended = convergence("tenants", "offboard", "hooli", "--json", CONVERGENCE_TENANTS=url)
    assert json.loads(ended.stdout)["outcome"] == "offboarded"
    assert "enabled: false # offboarded" in (tmp_path / "tenants" / "hooli" / "tenant.yaml").read_text()


def test_a_rejected_tenant_is_listed_with_what_is_wrong(convergence: Convergence, tenants: Path) -> None:
    (tenants / "acme" / "tenant.yaml").write_text("tenant_id: acme\ntimezon: UTC\n")
    convergence("pause", "globex", "--reason", "desk is closed")
    payload = {t["tenant"]: t for t in map(json.loads, convergence("tenants", "list", "--json").stdout.splitlines())}
    assert {name: t["status"] for name, t in payload.items()} == {
        "acme": "rejected", "globex": "paused", "initech": "paused",
    }  # fmt: skip
    shown = convergence("tenants", "show", "acme")
    assert shown.returncode == 1
    assert "did you mean 'timezone'" in shown.stdout
    assert "did you mean 'acme'" in convergence("tenants", "show", "acne").stderr


@pytest.mark.peer
@pytest.mark.slow
def test_on_the_local_bigquery_server_a_tenant_is_onboarded_and_a_failed_one_is_taken_back(
    convergence: Convergence, tmp_path: Path, peer: Peer
) -> None:
    done = onboarded(convergence, "--location", "US", **peer.variables)
    assert done["outcome"] == "onboarded", done
    with peer.client() as client:
        assert {t.table_id for t in client.list_tables("hooli")} == set(TABLES)
    assert onboarded(convergence, **peer.variables)["outcome"] == "unchanged"
    (tmp_path / "home" / "control.db").unlink()
    with peer.client() as client:
        client.delete_table("hooli.gcp_focus")
        client.query_and_wait("CREATE TABLE hooli.gcp_focus (x STRING)")
    (tmp_path / "tenants" / "hooli" / "tenant.yaml").unlink()
    failed = onboarded(convergence, "--location", "US", **peer.variables)
    assert (failed["outcome"], failed["left"]) == ("failed", [])
    assert not (tmp_path / "tenants" / "hooli" / "tenant.yaml").exists()
    with peer.client() as client:
        assert {t.table_id for t in client.list_tables("hooli")} == set(TABLES), "it had made none of them"
        client.delete_table("hooli.gcp_focus")
        client.query_and_wait("CREATE TABLE hooli.theirs (x STRING)")
    assert onboarded(convergence, "--location", "US", **peer.variables)["outcome"] == "onboarded"
    twice = ("tenants", "offboard", "hooli", "--delete-data", "--yes-delete-data-of", "hooli", "--json")
    assert convergence(*twice, **peer.variables).returncode == 1
    printed = json.loads(convergence(*twice, **peer.variables).stdout)
    assert set(printed["tables"]) == {f"hooli.{table}" for table in TABLES}
    assert printed["stays"][0].startswith("dataset peer-project.hooli, which holds what others made")
    with peer.client() as client:
        assert [t.table_id for t in client.list_tables("hooli")] == ["theirs"]
