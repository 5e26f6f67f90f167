"""Whatever a process says goes the same way: warnings, uncaught errors, other libraries' lines."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from tests.clean_environment import clean_environment

SET_UP = "import logging, sys\nfrom convergence_assets.logs.process import set_up, set_up_beside_dagster\n"


def run(code: str, *, status: int = 0, **environ: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of its stdout, and what stands on its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + code],
        env=clean_environment() | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_own_loggers_say_info_and_others_warnings() -> None:
    lines, _ = run(
        "set_up()\n"
        "for name in ('convergence_assets.x', 'convergence.audit', 'uvicorn.error', 'httpx'):\n"
        "    logging.getLogger(name).info('info'); logging.getLogger(name).warning('warning')\n"
    )
    infos = [line["logger"] for line in lines if line["severity"] == "INFO"]
    assert infos == ["convergence_assets.x", "convergence.audit", "uvicorn.error"]
    assert len([line for line in lines if line["severity"] == "WARNING"]) == 4


def test_warnings_and_uncaught_errors_are_lines_too_and_hold_no_secret() -> None:
    lines, stderr = run(
        "import os, threading, warnings\n"
        "set_up()\n"
        "secret = os.environ['X_TOKEN']\n"
        "warnings.warn(f'warned of {secret}')\n"
        "def broken(): raise ValueError(f'thread {secret}')\n"
        "thread = threading.Thread(target=broken, name='t1'); thread.start(); thread.join()\n"
        "raise RuntimeError(f'ends {secret}')\n",
        status=1,
        X_TOKEN="s3cr3t-of-process",
    )
    assert stderr == ""
    assert [line["severity"] for line in lines] == ["WARNING", "ERROR", "CRITICAL"]
    assert "warned of ***" in lines[0]["message"]
    assert lines[1]["message"] == "the thread t1 ends by an error: thread ***"
    assert lines[2]["exception"].endswith("RuntimeError: ends ***")


def test_what_dagster_and_uvicorn_configure_writes_these_lines_whenever_they_do_so() -> None:
    code = (
        "import uvicorn.config\n"
        "from dagster._utils.log import configure_loggers\n"
        "configure_loggers()\n"
        "set_up_beside_dagster()\n"
        "logging.getLogger('dagster.before').info('before')\n"
        "configure_loggers(formatter='rich')\n"
        "logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)\n"
        "logging.getLogger('dagster.after').info('after')\n"
        "logging.getLogger('uvicorn.error').info('started')\n"
        "logging.getLogger('dagster').debug('not worth a line')\n"
    )
    lines, stderr = run(code)
    assert stderr == ""
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("dagster.before", "before"), ("dagster.after", "after"), ("uvicorn.error", "started"),
    ]  # fmt: skip


@pytest.mark.parametrize(("variable", "is_json"), [("", False), ("auto", False), ("json", True), ("text", False)])
def test_on_a_terminal_lines_are_text_unless_the_environment_says_otherwise(variable: str, is_json: bool) -> None:
    ours, theirs = pty.openpty()
    code = SET_UP + "set_up()\nlogging.getLogger('convergence').info('hello')\n"
    environ = clean_environment() | {"CONVERGENCE_LOG_FORMAT": variable}
    subprocess.run([sys.executable, "-c", code], env=environ, stdout=theirs, check=True)
    os.close(theirs)
    line = os.read(ours, 4096).decode()
    os.close(ours)
    assert line.startswith("{") is is_json
    assert "hello" in line


def test_a_format_that_is_none_is_a_clear_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convergence_assets.cli.main", "schema"],
        env=clean_environment() | {"CONVERGENCE_LOG_FORMAT": "xml"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: CONVERGENCE_LOG_FORMAT='xml': expected 'json', 'text' or 'auto'\n"


def test_a_reader_that_went_away_does_not_disturb_who_writes() -> None:
    code = (
        "set_up()\n"
        "sys.stdin.readline()\n"
        "for n in range(100): logging.getLogger('convergence').info('line %s', n)\n"
        "print('went on', file=sys.stderr); sys.stdout = None\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", SET_UP + code], env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdin
    assert process.stderr
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stderr.readline() == "went on\n"
    process.stdin.close()
    process.stderr.close()
    process.wait(20)


def test_to_log_costs_no_import_of_weight() -> None:
    code = (
        "import sys, convergence_assets.logs.process, convergence_assets.logs.runs, convergence_assets.cli.log_multiplexer\n"
        "heavy = {'structlog', 'dagster', 'pandas', 'sqlalchemy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=clean_environment())
