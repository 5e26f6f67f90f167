"""Log files for people who search with grep: app.log, error.log and audit.log in CONVERGENCE_LOG_DIR, rotated.

Lines are text: date, time, severity, logger, kind of error (`-` where there is none), `name=value` of what the line is
about, message; an exception below. Several processes write to one file.
"""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from convergence_assets.logs.lines import FIRST, fields_or_fault
from convergence_assets.settings import SettingsError

VARIABLE = "CONVERGENCE_LOG_DIR"
BYTES, FILES = 50 * 2**20, 10
"""Of one file, and how many of a name are kept."""
_ABOUT = ("tenant", "pipeline_id", "pipeline_run_id", "step")
_SHOWN = {*FIRST, "logger", "exception", "error_class", "logging.googleapis.com/sourceLocation", "httpRequest", "audit"}


@cache
def file_handlers() -> tuple[logging.Handler, ...]:
    """The handlers of this process; none where CONVERGENCE_LOG_DIR is not set.

    Raises `SettingsError` where the folder cannot be written.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return ()
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    folder = Path(named)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "app.log").open("a").close()
    except OSError as error:
        raise SettingsError(f"{VARIABLE}={named} cannot be written: {error.strerror or error}") from None

    def handler(name: str, level: int = logging.NOTSET) -> logging.Handler:
        rotating: logging.Handler = ConcurrentRotatingFileHandler(
            str(folder / name), maxBytes=BYTES, backupCount=FILES, encoding="utf-8", keep_file_open=True
        )
        rotating.setLevel(level)
        rotating.setFormatter(GrepLines())
        # Dagster passes a run's records to every logger; they are written once, by the run's own.
        rotating.addFilter(lambda record: not hasattr(record, "dagster_meta"))
        return rotating

    audit = handler("audit.log")
    audit.addFilter(lambda record: hasattr(record, "audit"))
    return handler("app.log", logging.INFO), handler("error.log", logging.ERROR), audit


class GrepLines(logging.Formatter):
    """One line a record, and its exception below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_or_fault(record)
        return as_grep_line(fields, _kind(record, fields))


def as_grep_line(fields: dict[str, Any], kind: str) -> str:
    """The fields of a line as a file has them."""
    moment = str(fields["time"])
    about = [f"{name}={fields[name]}" for name in _ABOUT if fields.get(name)]
    more = [f"{name}={value}" for name, value in fields.items() if name not in _SHOWN]
    message = " ".join(str(fields["message"]).split("\n"))
    head = [moment[:10], moment[11:23], str(fields["severity"]), str(fields["logger"]), kind]
    line = " ".join([*head, *about, message, *more])
    return f"{line}\n{fields['exception']}" if fields.get("exception") else line


def _kind(record: logging.LogRecord, fields: dict[str, Any]) -> str:
    raised = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
    return str(fields.get("error_class") or raised or "-")
