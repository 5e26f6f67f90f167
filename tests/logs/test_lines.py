"""A record is one line that machines and people can read, and holds no secret."""

import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.logs.lines import LONGEST_TEXT, JsonLines, TextLines, always_say
from convergence_assets.redaction import remember

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def record(
    message: object, *args: object, level: int = logging.INFO, name: str = "convergence_assets.x", **extra: Any
) -> logging.LogRecord:
    log_record = logging.LogRecord(name, level, "/code/x.py", 12, message, args, None, "work")
    vars(log_record).update(extra)
    return log_record


def written(value: logging.LogRecord) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    line = JsonLines().format(value)
    assert "\n" not in line
    payload: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return payload


def test_a_line_has_the_fields_that_cloud_logging_reads_and_those_of_the_run() -> None:
    of_run: dict[str, Any] = {
        "tenant": "acme", "pipeline_id": "costs", "pipeline_run_id": "r1", "step": "lines", "duration_ms": 12,
    }  # fmt: skip
    line = written(record("published %s rows", 5, rows=5, **of_run))
    moment = line.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment)
    assert list(line)[:2] == ["severity", "message"]
    assert line == {
        "severity": "INFO", "message": "published 5 rows", **of_run, "rows": 5, "logger": "convergence_assets.x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "severity"),
    [(10, "DEBUG"), (20, "INFO"), (25, "WARNING"), (30, "WARNING"), (40, "ERROR"), (50, "CRITICAL")],
)
def test_severities_are_those_of_cloud_logging(level: int, severity: str) -> None:
    assert written(record("x", level=level))["severity"] == severity


def test_a_warning_says_where_in_the_code_it_is_from() -> None:
    source = written(record("x", level=logging.WARNING))["logging.googleapis.com/sourceLocation"]
    assert source == {"file": "/code/x.py", "line": "12", "function": "work"}


def test_an_exception_is_one_field() -> None:
    log_record = record("failed", level=logging.ERROR)
    try:
        raise ValueError("of the test")
    except ValueError:
        log_record.exc_info = sys.exc_info()
    line = written(log_record)
    assert line["message"] == "failed"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: of the test")


@given(message=st.text(), extra=values, name=st.text(min_size=1, max_size=8))
def test_whatever_is_logged_is_one_line_of_json(message: str, extra: object, name: str) -> None:
    line = written(record("%s", message, name=name, extra_field=extra))
    assert {"time", "severity", "message", "logger"} <= line.keys()


def test_what_cannot_be_written_is_said_to_be_so_and_not_shown() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    line = written(record("%s", Broken()))
    assert line["message"] == "a line of convergence_assets.x could not be written: RuntimeError"


def test_secrets_are_hidden_in_message_fields_and_exception() -> None:
    remember("s3cr3t-of-lines")
    log_record = record(
        "said %s", "s3cr3t-of-lines", url="https://h/s3cr3t-of-lines", list=[{"a": "s3cr3t-of-lines"}], password="x1"
    )
    try:
        raise ValueError("s3cr3t-of-lines")
    except ValueError:
        log_record.exc_info = sys.exc_info()
    for line in (JsonLines().format(log_record), TextLines(colours=False).format(log_record)):
        assert "s3cr3t-of-lines" not in line
        assert "x1" not in line


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    line = written(record("a" * 50_000 + "b" * 50_000))["message"]
    assert len(line) < LONGEST_TEXT + 20
    assert (line[0], line[-1]) == ("a", "b")


def test_what_is_always_said_is_said_unless_a_line_says_otherwise() -> None:
    always_say(tenant="acme", pipeline_run_id="r1", step=None)
    try:
        line = written(record("x", pipeline_run_id="r2"))
        assert (line["tenant"], line["pipeline_run_id"], "step" in line) == ("acme", "r2", False)
    finally:
        always_say()


def test_text_is_for_people() -> None:
    log_record = record(
        "done", tenant="acme", pipeline_id="costs", pipeline_run_id="0123456789", step="lines", duration_ms=7, rows=5
    )
    line = TextLines(colours=False).format(log_record)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d INFO     acme/costs/lines 01234567 done  duration_ms=7 rows=5", line
    )
    assert "\033[32mINFO" in TextLines(colours=True).format(log_record)
