"""`convergence tenants onboard`: what it asks, shows, writes and refuses."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from convergence_assets.control.audit import recorded_entries
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from tests.cli.onboarding import EXPORT, HOOLI, TABLES, Convergence, onboarded, tree
from tests.unprivileged import as_anybody

ROOT = Path(__file__).parents[2]


def test_a_plan_shows_everything_and_changes_nothing(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path)
    shown = convergence("tenants", "onboard", *HOOLI, "--plan")
    assert shown.returncode == 0, shown.stderr
    output = " ".join(shown.stdout.split())
    assert all(table in output for table in TABLES)
    assert "hooli/gcp_billing/gcp_focus" in output
    assert "the first day, 2026-10-01, is due 2026-10-02 13:00 UTC" in output
    assert "export_table: hooli_export" in output
    printed = json.loads(convergence("tenants", "onboard", *HOOLI, "--plan", "--json").stdout)
    assert (printed["outcome"], printed["plan"]["stands"], len(printed["plan"]["tables"])) == ("planned", False, 10)
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
    assert (bare.returncode, "is already as requested: nothing was changed" in bare.stdout) == (0, True)
    looked = convergence("tenants", "onboard", "hooli", "--plan")
    assert (looked.returncode, "is there and says the same" in looked.stdout) == (0, True)
    assert tree(tmp_path / "tenants") == before
    keys = convergence("keys", "list", "--json").stdout
    assert first["api_key"] not in keys
    assert len(keys.splitlines()) == 1
    store = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with store.read() as connection:
        assert [record.entry.action for record in recorded_entries(connection, "hooli")] == [
            "tenant.onboard",
            "key.create",
        ]


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
    done = convergence("tenants", "onboard", "hooli", "--template", "gcp_billing")
    text = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
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
    output = ""
    answers = (
        ("Display name [Hooli]:", ""), ("Timezone", "Europe/Nowhere"), ("is no IANA timezone", "Europe/Berlin"),
        ("Pipelines", ""), ("First day to make", "2026-10-01"), ("Owner", "a@b.example"), ("export_table", EXPORT),
        ("Make it?", "y"),
    )  # fmt: skip
    for question, answer in answers:
        while question not in output:
            output += _heard(here)
        output = output[output.index(question) + len(question) :]
        os.write(here, f"{answer}\n".encode())
    while process.poll() is None:
        output += _heard(here)
    output += _heard(here)
    assert process.returncode == 0, output
    assert "tenant hooli is onboarded" in output
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


def test_an_address_in_plain_text_is_refused_and_never_shown(convergence: Convergence, tmp_path: Path) -> None:
    refused = convergence("tenants", "onboard", *HOOLI, "--alert-route", "critical=slack://secret/token", "--yes")
    assert refused.returncode == 2
    assert "secret" not in refused.stdout + refused.stderr
    done = onboarded(convergence, "--alert-route", "critical=${env:HOOLI__SLACK}")
    assert '{severities: [critical], to: "${env:HOOLI__SLACK}"}' in done["plan"]["content"]


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
    _, output = process.communicate(timeout=60)
    os.close(here)
    assert (process.returncode, "'Hooli!' is not valid here" in output) == (2, True), output
