"""Who searches with grep finds in files what every process logs: by severity, by kind of error, by pipeline."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from convergence_assets.logs import files
from tests.api.service import serving
from tests.clean_environment import clean_environment

SET_UP = "import logging, sys\nfrom convergence_assets.logs.process import set_up\nset_up(files=True)\n"


def write(folder: Path, code: str, *, status: int = 0) -> str:
    """Run code in a process with log files; what it writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + code], env=clean_environment() | {"CONVERGENCE_LOG_DIR": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stderr


def grep(pattern: str, file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if re.search(pattern, line)]


def test_errors_are_found_by_severity_kind_and_stack_and_hold_no_secret(tmp_path: Path) -> None:
    write(
        tmp_path / "logs",
        "log = logging.getLogger('convergence_assets.x')\n"
        "log.info('at work', extra={'tenant': 'acme', 'pipeline_id': 'gcp_billing'})\n"
        "log.error('not published', extra={'tenant': 'acme', 'pipeline_id': 'gcp_billing', 'error_class': 'not_found'})\n"
        "try:\n    raise ValueError('postgresql://user:hunter2@host/db')\n"
        "except ValueError:\n    log.exception('it broke\\nin two lines')\n",
    )
    app, error = tmp_path / "logs" / "app.log", tmp_path / "logs" / "error.log"
    assert len(grep("pipeline_id=gcp_billing", app)) == 2
    assert [line.split(" ")[4] for line in grep("ERROR", error)] == ["not_found", "ValueError"]
    assert len(grep("Traceback", error)) == 1
    assert not grep("at work", error)
    assert "hunter2" not in app.read_text() + error.read_text()


def test_a_line_that_cannot_be_written_shows_none_of_its_arguments(tmp_path: Path) -> None:
    stderr = write(tmp_path / "logs", "logging.getLogger('convergence_assets.x').error('count %d', 'hunter2-secret')\n")
    assert "hunter2" not in stderr + (tmp_path / "logs" / "app.log").read_text()
    assert grep("could not be written", tmp_path / "logs" / "error.log")


def test_what_a_sensor_logs_is_in_the_files(tmp_path: Path) -> None:
    write(tmp_path / "logs", "from convergence_assets.logs.runs import automation_logger\n"
          "automation_logger().warning('looked', extra={'dagster_meta': {'name': 'ledger', 'orig_message': 'looked'}})\n")  # fmt: skip
    assert grep("dagster.automation - looked automation=ledger", tmp_path / "logs" / "app.log")


def test_many_processes_write_whole_lines_into_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    code = SET_UP + "for n in range(300): logging.getLogger('convergence_assets.x').info('%s %s', n, 'x' * 200)\n"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=clean_environment() | {"CONVERGENCE_LOG_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    lines = (folder / "app.log").read_text().splitlines()
    assert len(lines) == 900
    assert all(re.fullmatch(r"\S+ \S+ INFO convergence_assets.x - \d+ x{200}", line) for line in lines)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    stderr = write(tmp_path / "taken" / "logs", "", status=1)
    assert "SettingsError: CONVERGENCE_LOG_DIR=" in stderr
    assert "cannot be written" in stderr


def test_a_failed_authentication_is_a_line_of_the_audit_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_LOG_DIR", str(tmp_path / "logs"))
    files.file_handlers.cache_clear()
    handlers = files.file_handlers()
    audit = logging.getLogger("convergence.audit")
    level = audit.level
    audit.setLevel(logging.INFO)
    for handler in handlers:
        audit.addHandler(handler)
    try:
        with serving(tmp_path / "service") as service:
            answer = httpx.get(f"{service.url}/api/v1/pipelines", headers={"x-api-key": "cvg_wrong_key"})
            assert answer.status_code == 401
    finally:
        audit.setLevel(level)
        for handler in handlers:
            audit.removeHandler(handler)
            handler.close()
        files.file_handlers.cache_clear()
    (line,) = grep("authentication failed", tmp_path / "logs" / "audit.log")
    assert "refused: unknown" in line
    assert "cvg_wrong_key" not in line
