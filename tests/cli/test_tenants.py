"""`convergence tenants` as a newcomer uses it: onboard, run, look, offboard; and what is left where a step fails."""

import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.control.audit import recorded_deeds
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import audit as AUDIT
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DemoTenant
from convergence_assets.settings import Settings
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.schema import Column, Dataset, TableRef, TableSchema
from tests import commands
from tests.clean_environment import clean_environment
from tests.peer.peer_server import Peer
from tests.unprivileged import as_anybody

ROOT = Path(__file__).parents[2]
EXPORT = "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
HOOLI = (
    "hooli", "--display-name", "Hooli", "--timezone", "America/Los_Angeles", "--template", "gcp_billing",
    "--with", f"export_table={EXPORT}", "--start-date", "2026-10-01",
)  # fmt: skip
TABLES = (
    "gcp_cost_line_items", "gcp_cost_daily", "gcp_focus", "x_meta_pipeline_runs", "x_meta_pipeline_logs",
    "x_meta_data_quality_results", "x_meta_api_keys",
)  # fmt: skip

Done = subprocess.CompletedProcess[str]
Convergence = Callable[..., Done]


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


@pytest.fixture
def environ(tmp_path: Path, tenants: Path) -> dict[str, str]:
    places = {"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants), "COLUMNS": "160"}
    return clean_environment() | places


@pytest.fixture
def convergence(environ: dict[str, str]) -> Convergence:
    def run(*words: str, first: Callable[[], None] | None = None, **more: str) -> Done:
        done = commands.convergence(*words, environ=environ | more, first=first)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def onboarded(convergence: Convergence, *words: str, **more: str) -> dict[str, Any]:
    done = convergence("tenants", "onboard", *HOOLI, *words, "--yes", "--json", **more)
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said | {"code": done.returncode}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.live
def test_a_newcomer_onboards_runs_looks_and_offboards(convergence: Convergence, tmp_path: Path) -> None:
    shown = convergence("tenants", "onboard", "--help")
    assert all(word in shown.stdout for word in ("--plan", "--template", "--with", "Example: convergence tenants"))
    made = convergence("tenants", "onboard", *HOOLI, "--owner", "finops@hooli.example", "--yes")
    assert made.returncode == 0, made.stderr
    assert "tenant hooli is onboarded" in made.stdout
    assert "API key, shown this once: cvg_" in made.stdout
    assert "next     bring what it reads: convergence load hooli gcp_billing billing_export FILES" in made.stdout
    assert "next     run a day: convergence run hooli gcp_billing --partition 2026-10-01" in made.stdout
    assert convergence("validate", "--tenant", "hooli").returncode == 0
    day = date(2026, 10, 1)
    hooli = DemoTenant("hooli", "America/Los_Angeles")
    bills = generate_bills(tmp_path / "bills", hooli, day, day, seed=3, rows_per_day=300)
    assert convergence("load", "hooli", "gcp_billing", "billing_export", *map(str, bills)).returncode == 0
    ran = convergence("run", "hooli", "gcp_billing", "--partition", str(day))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (said,) = [t for t in map(json.loads, convergence("tenants", "list", "--json").stdout.splitlines())
               if t["tenant"] == "hooli"]  # fmt: skip
    assert (said["status"], said["last_published"], said["dataset"]) == ("served", "2026-10-01", "hooli")
    assert "gcp_focus: last published 2026-10-01" in convergence("tenants", "show", "hooli").stdout
    ended = convergence("tenants", "offboard", "hooli")
    assert ended.returncode == 0
    assert "stays: dataset hooli with all its tables" in ended.stdout
    assert "stays: 1 API key(s)" in ended.stdout
    assert json.loads(convergence("tenants", "show", "hooli", "--json").stdout)["status"] == "disabled"
    kept = convergence("query", "SELECT COUNT(*) AS n FROM hooli.gcp_focus", "--csv")
    assert int(kept.stdout.split()[1]) > 0


def test_a_plan_shows_everything_and_changes_nothing(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path)
    shown = convergence("tenants", "onboard", *HOOLI, "--plan")
    assert shown.returncode == 0, shown.stderr
    said = " ".join(shown.stdout.split())
    assert all(table in said for table in TABLES)
    assert "hooli/gcp_billing/gcp_focus" in said
    assert "the first day, 2026-10-01, is due 2026-10-02 13:00 UTC" in said
    assert "export_table: hooli_export" in said
    told = json.loads(convergence("tenants", "onboard", *HOOLI, "--plan", "--json").stdout)
    assert (told["outcome"], told["plan"]["stands"], len(told["plan"]["tables"])) == ("planned", False, 7)
    assert tree(tmp_path) == before
    assert not (tmp_path / "home").exists()


def test_the_same_settings_again_change_nothing_and_say_so(convergence: Convergence, tmp_path: Path) -> None:
    first = onboarded(convergence)
    assert (first["code"], first["outcome"]) == (0, "onboarded")
    assert first["api_key"].startswith("cvg_")
    before = tree(tmp_path / "tenants")
    again = onboarded(convergence)
    assert (again["code"], again["outcome"], again["done"], again["api_key"]) == (0, "unchanged", [], None)
    bare = convergence("tenants", "onboard", "hooli")
    assert (bare.returncode, "stands as asked for: nothing was changed" in bare.stdout) == (0, True)
    looked = convergence("tenants", "onboard", "hooli", "--plan")
    assert (looked.returncode, "is there and says the same" in looked.stdout) == (0, True)
    assert tree(tmp_path / "tenants") == before
    keys = convergence("keys", "list", "--json").stdout
    assert first["api_key"] not in keys
    assert len(keys.splitlines()) == 1
    store = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with store.read() as connection:
        assert [said.deed.action for said in recorded_deeds(connection, "hooli")] == ["tenant.onboard", "key.create"]


def test_an_existing_tenant_with_other_settings_is_refused_with_the_differences(
    convergence: Convergence, tmp_path: Path
) -> None:
    onboarded(convergence)
    before = tree(tmp_path / "tenants")
    refused = convergence(
        "tenants", "onboard", "hooli", "--timezone", "UTC", "--display-name", "Hooli", "--start-date", "2026-09-01",
        "--with", "export_table=other.table_name", "--yes",
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[:4] == [
        "tenant hooli is there with other settings",
        "timezone: is America/Los_Angeles, asked for UTC",
        "pipelines[gcp_billing].start_date: is 2026-10-01, asked for 2026-09-01",
        f"pipelines[gcp_billing].with.export_table: is {EXPORT}, asked for other.table_name",
    ]
    assert tree(tmp_path / "tenants") == before
    convergence("tenants", "offboard", "hooli")
    ended = convergence("tenants", "onboard", *HOOLI, "--yes")
    assert (ended.returncode, "enabled: is False, asked for True" in ended.stderr) == (1, True)


def test_flags_that_are_missing_are_all_named_where_nobody_can_be_asked(convergence: Convergence) -> None:
    said = convergence("tenants", "onboard", "hooli", "--template", "gcp_billing")
    text = " ".join(said.stderr.replace("│", " ").split())
    assert said.returncode == 2
    assert "missing: --display-name, --timezone, --start-date, --with export_table=..." in text
    unsaid = convergence("tenants", "onboard", *HOOLI)
    assert (unsaid.returncode, "nothing is made unless --yes says so" in unsaid.stderr) == (2, True)
    wrong = convergence("tenants", "onboard", "hooli", "--template", "gcp_billing", "--with", "gcp_biling.x=1")
    assert "did you mean 'gcp_billing'" in " ".join(wrong.stderr.replace("│", " ").split())


@pytest.mark.slow
def test_every_problem_of_the_file_is_shown_as_validate_would(convergence: Convergence, tmp_path: Path) -> None:
    refused = convergence(
        "tenants", "onboard", "hooli", "--display-name", "Hooli", "--timezone", "America/Los_Angelos", "--template",
        "gcp_biling", "--start-date", "2026-10-01", "--schedule", "often", "--owner", "nobody", "--yes",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "'America/Los_Angelos' is no IANA timezone" in refused.stderr
    assert "'often' is no cron schedule" in refused.stderr
    assert "owners[0]" in refused.stderr
    later = convergence(
        "tenants", "onboard", "hooli", "--display-name", "Hooli", "--timezone", "UTC", "--template", "gcp_biling",
        "--start-date", "2999-01-01", "--plan-name", "entreprise", "--yes",
    )  # fmt: skip
    assert "did you mean 'gcp_billing'" in later.stderr
    assert "did you mean 'enterprise'" in later.stderr
    assert "2999-01-01 is in the future" in later.stderr
    shared = convergence("tenants", "onboard", *HOOLI, "--dataset", "acme", "--yes")
    assert "tenants acme and hooli share dataset acme" in shared.stderr
    for name in ("../hooli", "Hooli", "admin", "convergence_x"):
        assert convergence("tenants", "onboard", name, *HOOLI[1:], "--yes").returncode == 1, name
    assert sorted(f.name for f in (tmp_path / "tenants").iterdir()) == ["_defaults.yaml", "acme", "globex", "initech"]
    assert not (tmp_path / "hooli").exists()


def test_the_answers_to_its_questions_make_a_tenant(environ: dict[str, str], tmp_path: Path) -> None:
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", "hooli"],
        env=environ, stdin=there, stdout=there, stderr=there, cwd=ROOT,
    )  # fmt: skip
    os.close(there)
    said = ""
    answers = (
        ("Display name [Hooli]:", ""), ("Timezone", "Europe/Nowhere"), ("is no IANA timezone", "Europe/Berlin"),
        ("Pipelines", ""), ("First day to make", "2026-10-01"), ("Owner", "a@b.example"), ("export_table", EXPORT),
        ("Make it?", "y"),
    )  # fmt: skip
    for question, answer in answers:
        while question not in said:
            said += _heard(here)
        said = said[said.index(question) + len(question) :]
        os.write(here, f"{answer}\n".encode())
    while process.poll() is None:
        said += _heard(here)
    said += _heard(here)
    assert process.returncode == 0, said
    assert "tenant hooli is onboarded" in said
    file = (tmp_path / "tenants" / "hooli" / "tenant.yaml").read_text()
    assert "timezone: Europe/Berlin # a partition is a day here" in file
    assert "owners: [a@b.example]" in file


def _heard(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], 30)
    assert ready, "it says nothing"
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # the other end is closed
        return ""


def test_where_the_folder_cannot_be_written_the_file_is_handed_out_to_be_committed(
    convergence: Convergence, tenants: Path, tmp_path: Path
) -> None:
    tenants.chmod(0o555)
    done = convergence("tenants", "onboard", *HOOLI, "--yes", first=as_anybody)
    tenants.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "Next: commit the file there, then the same command again makes the tables" in done.stderr
    assert not (tmp_path / "tenants" / "hooli").exists()
    assert not (tmp_path / "home" / "warehouse").exists()
    handed = done.stdout[done.stdout.index("tenant_id: hooli", done.stdout.index("a day")) :]
    (tmp_path / "tenants" / "hooli").mkdir()
    (tmp_path / "tenants" / "hooli" / "tenant.yaml").write_text(handed)
    again = onboarded(convergence)
    assert (again["code"], again["outcome"], len(again["done"])) == (0, "onboarded", len(TABLES) + 1)


def test_an_end_that_cannot_be_written_is_handed_out_as_well(convergence: Convergence, tenants: Path) -> None:
    folder = tenants / "acme"
    before = (folder / "tenant.yaml").read_text()
    folder.chmod(0o555)
    done = convergence("tenants", "offboard", "acme", first=as_anybody)
    folder.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "Nothing was changed. Next: commit this file there." in done.stderr
    assert "enabled: false # offboarded" in done.stdout
    assert (folder / "tenant.yaml").read_text() == before


def test_an_address_in_plain_text_is_refused_and_never_shown(convergence: Convergence, tmp_path: Path) -> None:
    refused = convergence("tenants", "onboard", *HOOLI, "--alert-route", "critical=slack://secret/token", "--yes")
    assert refused.returncode == 2
    assert "secret" not in refused.stdout + refused.stderr
    made = onboarded(convergence, "--alert-route", "critical=${env:HOOLI__SLACK}")
    assert '{severities: [critical], to: "${env:HOOLI__SLACK}"}' in made["plan"]["content"]


BIG = ("--plan-name", "enterprise", "--alert-route", "critical=${env:OUR_SLACK}")


def test_the_operators_lines_are_written_beside_the_tenants_file(convergence: Convergence, tenants: Path) -> None:
    before = (tenants / "_defaults.yaml").read_text()
    plan = convergence("tenants", "onboard", *HOOLI, *BIG, "--plan")
    assert "tenants: {hooli: {plan: enterprise}}, secrets: {hooli: [OUR_SLACK]}, in " in plan.stdout
    assert (tenants / "_defaults.yaml").read_text() == before
    made = onboarded(convergence, *BIG)
    assert made["plan"]["grants"] == {"tenants": {"hooli": {"plan": "enterprise"}}, "secrets": {"hooli": ["OUR_SLACK"]}}
    assert made["done"][0].startswith(f"wrote into {tenants}/_defaults.yaml: tenants: {{hooli:")
    after = (tenants / "_defaults.yaml").read_text()
    assert after == before + "  hooli: {plan: enterprise}\nsecrets:\n  hooli: [OUR_SLACK]\n"
    assert convergence("validate").returncode == 0
    assert onboarded(convergence, *BIG)["outcome"] == "unchanged"


def test_the_operators_lines_are_taken_back_with_the_rest(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path / "tenants")
    (tmp_path / "home" / "control.db").mkdir(parents=True)
    failed = onboarded(convergence, *BIG)
    assert (failed["code"], failed["outcome"], failed["left"]) == (1, "failed", [])
    assert any(said.startswith("took tenants: {hooli: {plan: enterprise}}") for said in failed["undone"])
    assert tree(tmp_path / "tenants") == before


def test_what_stands_in_a_new_tenants_folder_is_not_allowed_by_its_onboarding(
    convergence: Convergence, tenants: Path
) -> None:
    own = tenants / "hooli" / "pipelines"
    shutil.copytree(tenants / "initech" / "pipelines" / "total_cost", own / "total_cost")
    file = own / "total_cost" / "pipeline.yaml"
    file.write_text(file.read_text().replace("minutes: 30", "minutes: 600"))
    refused = onboarded(convergence, *BIG)
    assert (refused["code"], refused["outcome"]) == (1, "refused")
    assert any("600 is above the operator's bound" in reason for reason in refused["reasons"])


def test_a_table_of_several_tenants_is_shared_out_by_each_ones_onboarding(
    convergence: Convergence, tenants: Path
) -> None:
    first = onboarded(convergence, "--share-project", "hooli-*")
    assert first["plan"]["grants"] == {"shared_sources": {EXPORT: {"hooli": {"projects": ["hooli-*"]}}}}
    words = ("tenants", "onboard", "umbra", *HOOLI[1:], "--share-label", "customer=umbra", "--yes")
    second = convergence(*words)
    assert second.returncode == 0, second.stderr
    defaults = (tenants / "_defaults.yaml").read_text()
    assert defaults.endswith(
        f"shared_sources:\n  {EXPORT}: {{hooli: {{projects: [hooli-*]}}, umbra: {{labels: {{customer: umbra}}}}}}\n"
    )
    assert convergence("validate").returncode == 0
    assert "is there and says the same" in convergence(*words).stdout
    third = convergence("tenants", "onboard", "other", *HOOLI[1:], "--yes")
    assert (third.returncode, "no row of it is this tenant's" in third.stderr) == (1, True), third.stderr
    wrong = convergence("tenants", "onboard", "other", *HOOLI[1:], "--share-label", "customer", "--yes")
    assert (wrong.returncode, "expected key=value" in wrong.stderr) == (2, True), wrong.stderr


def test_an_id_whose_variables_could_be_anothers_is_refused(convergence: Convergence) -> None:
    done = convergence("tenants", "onboard", "acme__eu", *HOOLI[1:], "--yes")
    assert (done.returncode, "expected an id without __" in done.stderr) == (1, True), done.stderr


def test_an_id_that_cannot_be_is_said_before_anything_is_asked(environ: dict[str, str]) -> None:
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", "Hooli!"],
        env=environ, stdin=there, stdout=there, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    os.close(there)
    _, said = process.communicate(timeout=60)
    os.close(here)
    assert (process.returncode, "'Hooli!' is not valid here" in said) == (2, True), said


def test_where_no_table_can_be_made_nothing_is_left(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path / "tenants")
    dataset = tmp_path / "home" / "warehouse" / "datasets" / "hooli.duckdb"
    dataset.parent.mkdir(parents=True)
    dataset.write_bytes(b"no database of ours" * 1000)
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"], failed["left"]) == (1, "failed", [])
    assert failed["undone"] == [f"removed {tmp_path}/tenants/hooli/tenant.yaml"]
    assert tree(tmp_path / "tenants") == before
    assert not (tmp_path / "tenants" / "hooli").exists()
    dataset.unlink()
    assert onboarded(convergence)["outcome"] == "onboarded"


def test_what_was_made_is_dropped_and_what_stood_before_is_left_as_it_is(
    convergence: Convergence, tmp_path: Path
) -> None:
    other = TableSchema((Column("x", "STRING"),))
    with DuckDBWarehouse(tmp_path / "home" / "warehouse") as warehouse:
        warehouse.ensure_table(TableRef("hooli", "gcp_focus"), other)
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"]) == (1, "failed")
    assert "making table hooli.gcp_focus failed (schema_mismatch)" in failed["failure"]
    assert not (tmp_path / "tenants" / "hooli").exists()
    assert failed["left"] == []
    assert failed["undone"][1:] == ["dropped tables hooli.gcp_cost_line_items, hooli.gcp_cost_daily"]
    with DuckDBWarehouse(tmp_path / "home" / "warehouse") as warehouse:
        assert warehouse.tables_of(Dataset("hooli")) == [TableRef("hooli", "gcp_focus")]


def test_where_no_key_can_be_made_the_file_is_taken_back_and_the_same_command_goes_on_later(
    convergence: Convergence, tmp_path: Path
) -> None:
    blocking = tmp_path / "home" / "control.db"
    blocking.mkdir(parents=True)
    failed = convergence("tenants", "onboard", *HOOLI, "--yes")
    assert failed.returncode == 1
    assert "making an API key for hooli failed" in failed.stderr
    assert f"taken back: removed {tmp_path}/tenants/hooli/tenant.yaml" in failed.stderr
    assert "taken back: dropped tables hooli.gcp_cost_line_items, " in failed.stderr
    assert "taken back: dropped dataset hooli" in failed.stderr
    assert "nothing is left of it" in failed.stderr
    assert not (tmp_path / "tenants" / "hooli").exists()
    blocking.rmdir()
    again = onboarded(convergence)
    assert again["outcome"] == "onboarded"
    assert len([what for what in again["done"] if "made table" in what]) == len(TABLES)


def test_a_key_that_was_made_is_revoked_and_the_next_attempt_makes_another(
    convergence: Convergence, tmp_path: Path
) -> None:
    ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with closing(sqlite3.connect(tmp_path / "home" / "control.db")) as store:
        store.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {AUDIT.name} WHEN NEW.action = 'tenant.onboard' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        store.commit()
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"]) == (1, "failed")
    assert failed["failure"].startswith("writing the audit log failed")
    assert failed["undone"][0] == f"removed {tmp_path}/tenants/hooli/tenant.yaml"
    assert failed["undone"][1].startswith("revoked API key key_")
    assert failed["undone"][-1] == "dropped dataset hooli"
    with closing(sqlite3.connect(tmp_path / "home" / "control.db")) as store:
        store.execute("DROP TRIGGER full")
        store.commit()
    again = onboarded(convergence)
    assert (again["outcome"], bool(again["api_key"])) == ("onboarded", True)
    (active,) = [key for key in map(json.loads, convergence("keys", "list", "--json").stdout.splitlines())
                 if key["state"] == "active"]  # fmt: skip
    convergence("keys", "revoke", active["key_id"])
    assert onboarded(convergence)["outcome"] == "unchanged", "keys that were revoked on purpose are not made anew"


@pytest.mark.live
def test_of_two_at_once_one_is_made_and_the_other_takes_nothing_of_it_away(
    environ: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI, "--yes"]
    both = [
        subprocess.Popen([*command, "--schedule", f"{minute} 6 * * *"], env=environ, cwd=ROOT, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for minute in (10, 20)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    winner = (10, 20)[codes.index(0)]
    assert f'schedule: "{winner} 6 * * *"' in (tmp_path / "tenants" / "hooli" / "tenant.yaml").read_text()


def test_killed_half_way_the_same_command_brings_it_to_its_end(
    convergence: Convergence, environ: dict[str, str], tmp_path: Path
) -> None:
    # Of the lowest priority, so that this test is not the slower of the two where others work beside it.
    command = ["nice", "-n", "19", sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI]
    command.append("--yes")
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    file = tmp_path / "tenants" / "hooli" / "tenant.yaml"
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = onboarded(convergence)
    assert again["outcome"] == "onboarded"
    assert again["api_key"]
    assert json.loads(convergence("tenants", "show", "hooli", "--json").stdout)["status"] == "served"


def test_an_interrupted_one_takes_back_what_it_made(environ: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI, "--yes"]
    process = subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    file = tmp_path / "tenants" / "hooli" / "tenant.yaml"
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not file.parent.exists(), said


@pytest.mark.live
def test_tenants_behind_a_url_are_written_there(convergence: Convergence, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/tenants"
    made = onboarded(convergence, CONVERGENCE_TENANTS=url)
    assert (made["outcome"], made["plan"]["file"]) == ("onboarded", f"{url}/hooli/tenant.yaml")
    assert onboarded(convergence, CONVERGENCE_TENANTS=url)["outcome"] == "unchanged"
    ended = convergence("tenants", "offboard", "hooli", "--json", CONVERGENCE_TENANTS=url)
    assert json.loads(ended.stdout)["outcome"] == "offboarded"
    assert "enabled: false # offboarded" in (tmp_path / "tenants" / "hooli" / "tenant.yaml").read_text()


def test_offboarding_keeps_the_files_remarks_and_order(convergence: Convergence, tenants: Path) -> None:
    file = tenants / "acme" / "tenant.yaml"
    before = file.read_text().splitlines()
    assert convergence("tenants", "offboard", "acme").returncode == 0
    after = file.read_text().splitlines()
    assert [line for line in after if not line.startswith("enabled:")] == before
    assert after[3].startswith("enabled: false # offboarded ")
    again = convergence("tenants", "offboard", "acme")
    assert (again.returncode, "disabled already: nothing was changed" in again.stdout) == (0, True)
    assert file.read_text().splitlines() == after


def test_data_is_deleted_only_where_it_is_said_twice_and_nothing_may_ask_for_its_days(
    convergence: Convergence, tenants: Path, tmp_path: Path
) -> None:
    onboarded(convergence)
    twice = ("tenants", "offboard", "hooli", "--delete-data", "--yes-delete-data-of", "hooli")
    dataset, before = tmp_path / "home" / "warehouse" / "datasets" / "hooli.duckdb", tree(tenants)
    for words in (("--delete-data",), ("--yes-delete-data-of", "hooli"), (*twice[3:5], "x")):
        once = convergence("tenants", "offboard", "hooli", *words)
        text = " ".join(once.stderr.replace("│", " ").split())
        assert (once.returncode, "say both --delete-data and --yes-delete-data-of hooli" in text) == (2, True)
    assert tree(tenants) == before
    disabled = convergence(*twice)
    assert disabled.returncode == 1, disabled.stderr
    assert "next: its data is not deleted yet: reload the code location" in disabled.stdout
    assert dataset.exists()
    deleted = convergence(*twice, "--json")
    assert deleted.returncode == 0, deleted.stderr
    said = json.loads(deleted.stdout)
    assert (said["outcome"], set(said["tables"])) == ("deleted", {f"hooli.{table}" for table in TABLES})
    assert not dataset.exists()
    again = convergence(*twice)
    assert (again.returncode, "no table of it was there" in again.stdout) == (0, True)
    store = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with store.read() as connection:
        actions = [entry.deed.action for entry in recorded_deeds(connection, "hooli")]
    assert actions[:3] == ["tenant.delete_data", "tenant.delete_data", "tenant.offboard"]


def test_data_is_not_deleted_while_a_run_is_at_work_and_the_tenant_stays_as_it_is(
    convergence: Convergence, tenants: Path, tmp_path: Path
) -> None:
    store, before = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")})), tree(tenants)
    day = date(2026, 10, 1)
    Locks(store).acquire(Claim("acme", "gcp_billing", day, day), "a-run-at-work")
    refused = convergence("tenants", "offboard", "acme", "--delete-data", "--yes-delete-data-of", "acme")
    assert refused.returncode == 1
    assert "runs of tenant acme are not over (a-run-at-work); nothing was deleted" in refused.stderr
    assert tree(tenants) == before


def test_a_rejected_tenant_is_listed_with_what_is_wrong(convergence: Convergence, tenants: Path) -> None:
    (tenants / "acme" / "tenant.yaml").write_text("tenant_id: acme\ntimezon: UTC\n")
    convergence("pause", "globex", "--reason", "desk is closed")
    said = {t["tenant"]: t for t in map(json.loads, convergence("tenants", "list", "--json").stdout.splitlines())}
    assert {name: t["status"] for name, t in said.items()} == {
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
    made = onboarded(convergence, "--location", "US", **peer.variables)
    assert made["outcome"] == "onboarded", made
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
    said = json.loads(convergence(*twice, **peer.variables).stdout)
    assert set(said["tables"]) == {f"hooli.{table}" for table in TABLES}
    assert said["stays"][0].startswith("dataset peer-project.hooli, which holds what others made")
    with peer.client() as client:
        assert [t.table_id for t in client.list_tables("hooli")] == ["theirs"]
