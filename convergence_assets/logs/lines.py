"""A log record as one line: JSON as Cloud Logging reads it, or text for a terminal. No secret is in either."""

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from convergence_assets.redaction import redacted, redacted_value

FIRST = ("time", "severity", "message", "tenant", "pipeline_id", "pipeline_run_id", "step", "duration_ms")
"""The fields that a line begins with, those of them that it has."""
LONGEST_TEXT = 12_000
"""Characters of a message or an exception: container runtimes split lines of more than 16 KiB."""
_SEVERITIES = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_SOURCE = "logging.googleapis.com/sourceLocation"
_HIDDEN_IN_TEXT = frozenset({"httpRequest", _SOURCE, "exception"})

_everywhere: dict[str, Any] = {}


def always_say(**fields: Any) -> None:
    """Add these fields, such as a worker's run, to every later line of this process that does not set them itself."""
    _everywhere.clear()
    _everywhere.update({name: value for name, value in fields.items() if value is not None})


def line_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The line's fields, without secrets. Each key of `extra=` is a field."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")}
    fields = _everywhere | {name: value for name, value in extra.items() if value is not None}
    fields |= {
        "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "severity": _severity(record.levelno),
        "message": record.getMessage(),
        "logger": record.name,
    }
    if record.exc_info and record.exc_info[0] is not None and not fields.get("exception"):
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    if record.levelno >= logging.WARNING and record.name.startswith("convergence"):
        fields[_SOURCE] = {"file": record.pathname, "line": str(record.lineno), "function": record.funcName}
    shown: dict[str, Any] = redacted_value({name: _plain(fields[name]) for name in (*FIRST, *fields) if name in fields})
    for name in ("message", "exception"):
        if len(shown.get(name, "")) > LONGEST_TEXT:
            half = LONGEST_TEXT // 2
            shown[name] = f"{shown[name][:half]}\n[...]\n{shown[name][-half:]}"
    return shown


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields_or_fault(record))


class TextLines(logging.Formatter):
    """Moment, severity, place, message, other fields; an exception below."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        return as_text(fields_or_fault(record), colours=self._colours)


def as_text(fields: Mapping[str, Any], *, colours: bool) -> str:
    """The fields of a line as a person reads them."""
    severity = str(fields.get("severity", "DEFAULT"))
    level = f"\033[{_COLOURS.get(severity, '0')}m{severity:8}\033[0m" if colours else f"{severity:8}"
    where = "/".join(str(fields[name]) for name in ("tenant", "pipeline_id", "step") if fields.get(name))
    run = str(fields.get("pipeline_run_id", ""))[:8]
    shown = {*FIRST, "logger"} - {"duration_ms"} | _HIDDEN_IN_TEXT
    more = " ".join(f"{name}={value}" for name, value in fields.items() if name not in shown)
    head = " ".join(part for part in (str(fields.get("time", ""))[:19], level, where, run) if part)
    line = f"{head} {fields.get('message', '')}" + (f"  {more}" if more else "")
    return f"{line}\n{fields['exception']}" if fields.get("exception") else line


def wrapped(text: str, logger: str) -> dict[str, Any]:
    """The fields of a line that was printed and not logged."""
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    return {"time": moment, "severity": "DEFAULT", "message": redacted(text), "logger": logger}


def fields_or_fault(record: logging.LogRecord) -> dict[str, Any]:
    """The line's fields, or those of a line that says that this one could not be written."""
    try:
        return line_fields(record)
    except Exception as error:  # logging would print the record as it is
        return wrapped(f"a line of {record.name} could not be written: {type(error).__name__}", __name__)


def _severity(level: int) -> str:
    return next((name for least, name in sorted(_SEVERITIES.items()) if level <= least), "CRITICAL")


def _plain(value: Any) -> Any:
    """As JSON has it; a number that JSON does not know is a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
