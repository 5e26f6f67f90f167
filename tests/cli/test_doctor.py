"""`convergence doctor` on set-ups that are broken for real, one way each: it names what is wrong and what to do."""

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import VERSION_TABLE, compatibility
from convergence_assets.diagnostics.doctor.checks import CHECKS
from convergence_assets.diagnostics.doctor.examine import Finding, Limits, Setup, examine
from tests import commands
from tests.clean_environment import clean_environment
from tests.cli.doctor_findings import Doctor, found, states
from tests.ports import free_port
from tests.unprivileged import as_anybody


def test_every_check_says_something_and_a_person_reads_what_to_do_below_the_table(
    doctor: Doctor, variables: dict[str, str]
) -> None:
    code, output = doctor()
    assert (code, list(output)) == (1, list(CHECKS))
    wrong = {name for name, found in states(output).items() if "broken" in found}
    assert wrong == {"code location"}
    shown = commands.convergence("doctor", environ=clean_environment() | variables)
    assert shown.returncode == 1
    assert "code location: next: " in shown.stdout


def test_settings_that_cannot_be_read_are_the_only_finding(doctor: Doctor) -> None:
    code, output = doctor(CONVERGENCE_WAREHOUSE="oracle")
    assert (code, list(output)) == (1, ["settings"])
    assert "expected 'embedded' or 'bigquery'" in output["settings"][0]["next_step"] + output["settings"][0]["seen"]


def test_a_misspelled_setting_is_named_with_the_nearest(doctor: Doctor) -> None:
    _, output = doctor(CONVERGENCE_TENNANTS="somewhere")
    (finding,) = output["settings"]
    assert (finding["state"], finding["seen"]) == ("warning", "CONVERGENCE_TENNANTS is set, and nothing reads it")
    assert finding["next_step"] == "CONVERGENCE_TENANTS is meant?"


def test_a_home_that_cannot_be_written(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, output = doctor(CONVERGENCE_HOME=str(tmp_path / "file" / "home"))
    assert code == 1
    assert "Not a directory" in output["home"][0]["seen"]
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    code, output = doctor(as_anybody, CONVERGENCE_HOME=str(locked))
    assert (code, "Permission denied" in output["home"][0]["seen"]) == (1, True)
    assert output["home"][0]["next_step"].startswith("make it writable")
    assert list(output) == list(CHECKS), "the other checks are made all the same"


def test_a_control_store_of_a_newer_version(doctor: Doctor, setup: Setup) -> None:
    ControlStore.open(setup.settings)
    with closing(sqlite3.connect(setup.settings.home / "control.db")) as store:
        store.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        store.commit()
        code, output = doctor()
        (finding,) = output["control store"]
        assert finding["state"] == "ok"
        assert "was migrated by a newer release, and this one can use it" in finding["seen"]
        store.execute(f"UPDATE {compatibility.name} SET oldest_revision = '9998'")
        store.commit()
    code, output = doctor()
    (finding,) = output["control store"]
    assert (code, finding["state"]) == (1, "broken")
    assert "was migrated by a newer version of Convergence, and this one cannot use its" in finding["seen"]
    assert "restore the backup" in finding["next_step"]


def test_a_control_store_that_is_away(setup: Setup) -> None:
    url = f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing"
    (finding,) = found("control store", replace(setup, settings=replace(setup.settings, control_url=url)))
    assert finding.state == "broken"
    assert "secret" not in finding.seen
    assert finding.next_step == "see that it can be reached and written"


def test_a_port_that_somebody_else_has(setup: Setup) -> None:
    assert found("API port", setup)[0].state == "ok"
    with socket.socket() as other:
        other.bind(("127.0.0.1", setup.settings.api_port))
        other.listen()
        (finding,) = found("API port", setup)
    assert finding.state == "broken"
    assert f"(pid {os.getpid()})" in finding.seen
    assert "API_PORT" in finding.next_step


def test_a_disk_that_is_nearly_full(setup: Setup) -> None:
    free = shutil.disk_usage(setup.settings.home.parent).free
    (warned,) = found("disk", replace(setup, limits=Limits(free_bytes=2 * free, free_bytes_break=free // 2)))
    (broken,) = found("disk", replace(setup, limits=Limits(free_bytes=2 * free, free_bytes_break=2 * free)))
    assert (warned.state, broken.state) == ("warning", "broken")
    assert "CONVERGENCE_HOME" in broken.next_step


def test_a_check_that_raises_or_hangs_holds_up_no_other(setup: Setup) -> None:
    def raises(setup: Setup) -> Iterator[Finding]:
        raise RuntimeError("no luck")

    def hangs(setup: Setup) -> Iterator[Finding]:
        time.sleep(60)
        yield Finding("hangs", "ok", "at last")

    def fine(setup: Setup) -> Iterator[Finding]:
        yield Finding("fine", "ok", "as ever")

    checks = {"raises": raises, "hangs": hangs, "fine": fine, "left out": fine}
    findings = list(examine(checks, setup, {"left out": ["fine", "hangs"], "fine": ["left out"]}, seconds=0.3))
    assert [(finding.check, finding.state) for finding in findings] == [
        ("raises", "broken"), ("hangs", "broken"), ("fine", "ok"), ("left out", "warning"),
    ]  # fmt: skip
    assert "RuntimeError: no luck" in findings[0].seen
    assert "no answer within" in findings[1].seen
