"""The `convergence` command as a person and a machine use it."""

import csv
import io
import json
import shutil
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from tests import commands
from tests.clean_environment import clean_environment
from tests.peer.peer_server import Peer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


def convergence(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {"CONVERGENCE_HOME": str(home), "COLUMNS": "160"}
    return commands.convergence(*words, environ=clean_environment() | own | environ)


def test_validate_prints_every_problem_and_exits_with_one(tenants: Path, tmp_path: Path) -> None:
    fine = convergence(tmp_path, "validate", CONVERGENCE_TENANTS=str(tenants))
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert "3 tenants" in fine.stdout
    (tenants / "acme" / "tenant.yaml").write_text("tenant_id: acme\ntimezon: UTC\n")
    (tenants / "globex" / "tenant.yaml").write_text("- nothing\n")
    wrong = convergence(tmp_path, "validate", "--json", CONVERGENCE_TENANTS=str(tenants))
    assert wrong.returncode == 1
    printed = json.loads(wrong.stdout)
    assert {Path(p["file"]).parent.name for p in printed["problems"]} == {"acme", "globex"}
    assert all(p["line"] for p in printed["problems"])
    assert [t["tenant_id"] for t in printed["tenants"]] == ["initech"]
    assert not (tmp_path / "accepted").exists()


def test_a_pipeline_is_paused_and_resumed_and_schedule_says_so(tmp_path: Path) -> None:
    def reasons() -> dict[str, str | None]:
        shown = convergence(tmp_path, "schedule", "initech", "--json").stdout.splitlines()
        return {payload["pipeline"]: payload["paused"] for payload in map(json.loads, shown)}

    by_file = "paused in the tenant's file"
    assert reasons() == {"gcp_billing": by_file, "total_cost": by_file}
    paused = convergence(tmp_path, "pause", "initech", "total_cost", "--reason", "desk is closed")
    assert paused.stdout == (
        "paused: tenant initech, pipeline total_cost. Next: convergence resume initech total_cost\n"
    )
    wrong = convergence(tmp_path, "resume", "initech")
    assert (wrong.returncode, "still paused: tenant initech, pipeline total_cost: desk is closed" in wrong.stderr) == (
        1,
        True,
    )
    assert "did you mean 'total_cost'" in convergence(tmp_path, "pause", "initech", "total_costs").stderr
    assert (
        convergence(tmp_path, "resume", "initech", "total_cost").stdout
        == "resumed: tenant initech, pipeline total_cost\n"
    )
    table = convergence(tmp_path, "schedule").stdout
    assert all(name in table for name in ("acme", "globex", "initech", "never", "paused in the tenant's file"))


def test_schema_prints_json_schema_with_the_keys_as_files_spell_them(tmp_path: Path) -> None:
    printed = json.loads(convergence(tmp_path, "schema", "tenant").stdout)
    assert "with" in printed["$defs"]["TenantPipelineSpec"]["properties"]


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        (("query", "SELECT 1 AS one FROM nobody.t"), {}, "dataset nobody does not exist"),
        (("query", "SELEC 1"), {}, "error: invalid_query"),
        (("query", "SELECT SUMM(1) AS x"), {}, "Did you mean sum?"),
        (("run", "akme", "gcp_billing", "--partition", "2026-10-01"), {}, "did you mean 'acme'"),
        (("run", "acme", "gcp_biling", "--partition", "2026-10-01"), {}, "did you mean 'gcp_billing'"),
        (("run", "acme", "gcp_billing", "--partition", "yesterday"), {}, "a date like 2026-10-01"),
        (("run", "acme", "gcp_billing", "--partition", "2026-09-01"), {}, "starts on 2026-10-01"),
        (("run", "acme", "gcp_billing"), {}, "say --partition, or --from and --to"),
        (("validate",), {"CONVERGENCE_TENANTS": "/nowhere"}, "does not exist; set CONVERGENCE_TENANTS"),
        (("validate",), {"CONVERGENCE_TENANTS": "/tmp/[/x]"}, "tenants folder /tmp/[/x] does not exist"),
        (("validate",), {"CONVERGENCE_WAREHOUSE": "duck"}, "expected 'embedded' or 'bigquery'"),
        (("query", "SELECT 1 AS one"), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "starts here only by name"),
        (("query", "SELECT 1 AS one"), {"GCP_PROJECT_ID": "a-project"}, "set CONVERGENCE_WAREHOUSE=embedded"),
        (
            ("load", "acme", "gcp_billing", "billing_export", "no-such-file.jsonl"),
            {},
            "no-such-file.jsonl does not exist",
        ),
    ],
)
def test_a_users_mistake_is_one_clear_message_and_never_a_stack_trace(
    tmp_path: Path, words: tuple[str, ...], environ: dict[str, str], message: str
) -> None:
    done = convergence(tmp_path, *words, **environ)
    assert done.returncode == 2
    text = " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert message in text, text
    assert "Traceback" not in text


@pytest.mark.live
def test_the_demo_publishes_stops_the_bad_day_and_shows_the_correction(tmp_path: Path) -> None:
    landing = str(tmp_path / "landing")
    words = ("demo", "--rows-per-day", "300", "--days", "7", "--seed", "11", "--json")
    done = convergence(tmp_path, *words, CONVERGENCE_LANDING=landing)
    assert done.returncode == 0, done.stderr[-3000:]
    payload = {t["tenant"]: t for t in json.loads(done.stdout)}
    assert set(payload) == {"acme", "globex", "initech"}
    days = {t: set(payload[t]["published"]["gcp_focus"]) for t in payload}
    week = {f"2026-10-{d:02d}" for d in range(1, 8)} | {"2026-10-09"}
    assert days["acme"] == days["initech"] == week
    assert days["globex"] == week - {"2026-10-06"}
    assert [(s["partition"], s["checks"]) for s in payload["globex"]["stopped"]] == [
        ("2026-10-06", ["no_row_was_exported_twice"])
    ]
    assert payload["acme"]["checks"]["failed"] == 0
    for tenant in payload.values():
        assert {c["kind"] for c in tenant["commitments"]} == {"Spend", "Usage"}
        for commitment in tenant["commitments"]:
            paid, used, unused = (Decimal(commitment[name]) for name in ("paid", "used", "unused"))
            assert paid == used + unused > used > 0
        assert {"FREE_TIER", "PROMOTION"} <= {credit["type"] for credit in tenant["credits"]}
        assert len(tenant["service_categories"]) >= 5
    stopped = convergence(tmp_path, "day", "globex", "gcp_billing", "2026-10-06", "--json")
    day = json.loads(stopped.stdout)
    assert (stopped.returncode, set(day["tables"].values())) == (1, {None})
    assert "no_row_was_exported_twice" in day["runs"][0]["error_message"]
    assert convergence(tmp_path, "day", "acme", "gcp_billing", "2026-10-06").returncode == 0
    queried = convergence(tmp_path, "query", "SELECT usage_date, net_cost FROM acme.gcp_cost_daily", "--csv")
    rows = list(csv.DictReader(io.StringIO(queried.stdout)))
    assert {r["usage_date"] for r in rows} == week
    table = convergence(tmp_path, "query", "SELECT COUNT(*) AS n FROM globex.gcp_cost_daily")
    assert "embedded warehouse" in " ".join(table.stderr.split())


@pytest.mark.live
def test_the_demo_of_one_billing_account_shows_that_the_parts_make_the_whole(tmp_path: Path) -> None:
    shared = {"CONVERGENCE_TENANTS": str(ROOT / "examples" / "one_billing_account")}
    done = convergence(tmp_path, "demo", "--days", "7", "--json", **shared)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    assert [t["tenant"] for t in printed] == ["hooli", "pied_piper"]
    assert all(t["checks"]["failed"] == 0 and not t["failures"] for t in printed)
    assert all(len(t["published"]["gcp_focus"]) == 8 for t in printed)
    counted = convergence(tmp_path, "shares", "--from", "2026-10-01", "--to", "2026-11-30", "--json", **shared)
    found = json.loads(counted.stdout)
    assert found["adds_up"] is True
    assert set(found["parts"]) == {"hooli", "pied_piper", "_rest"}
    assert all(part["rows"] for part in found["parts"].values())


@pytest.mark.peer
@pytest.mark.slow
def test_every_job_of_the_commands_has_labels_and_a_time_limit_and_every_query_a_byte_cap(
    tmp_path: Path, peer: Peer
) -> None:
    acme = next(tenant for tenant in DEMO_TENANTS if tenant.tenant_id == "acme")
    day = date(2026, 10, 10)
    bills = [str(f) for f in generate_bills(tmp_path / "bills", acme, day, day, seed=5, rows_per_day=60)]
    # The server remembers the jobs of other tests, and the client's own questions whether it lives.
    with peer.client() as client:
        before = {job.job_id for job in client.list_jobs(all_users=True)}
        for words in (
            ("load", "acme", "gcp_billing", "billing_export", *bills),
            (
                "query",
                "SELECT COUNT(*) AS n FROM acme_billing.gcp_billing_export_resource_v1 WHERE _PARTITIONTIME IS NULL",
            ),
            ("run", "acme", "gcp_billing", "--partition", str(day)),
        ):
            done = convergence(tmp_path, *words, **peer.variables)
            assert "Traceback" not in done.stdout + done.stderr
        sent = [job for job in client.list_jobs(all_users=True) if job.job_id not in before]
        assert len(sent) > 5
        for job in sent:
            assert {"asset", "run_id"} <= set(job.labels), job.job_id
            configuration = job._properties["configuration"]
            assert configuration.get("jobTimeoutMs"), (job.job_id, configuration)
            if job.job_type == "query":
                assert job.maximum_bytes_billed, (job.job_id, configuration)
