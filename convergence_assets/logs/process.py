"""The logs of a process: where they go, in which format, and which lines of other libraries go with them."""

import logging
import logging.config
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, TextIO

from convergence_assets.logs.files import file_handlers
from convergence_assets.logs.lines import JsonLines, TextLines
from convergence_assets.redaction import redacted
from convergence_assets.settings import log_format

OWN = ("convergence_assets", "convergence", "uvicorn")
"""Loggers whose INFO is written; of any other, warnings are."""
_fault = logging.getLogger("convergence.fault")


class Lines(logging.StreamHandler[TextIO]):
    """Writes a line at a time. A closed reader does not disturb the writer."""

    def __init__(self, stream: TextIO, level: int = logging.NOTSET, *, readable: bool = False) -> None:
        super().__init__(stream)
        self.setLevel(level)
        self.setFormatter(_formatter(stream, readable))

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


class _NotOfRuns(logging.Filter):
    """Leaves out the records of a run's own logger: Dagster also passes them to every logger above."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not hasattr(record, "dagster_meta")


def set_up(
    stream: TextIO | None = None, level: int = logging.INFO, *, readable: bool = False, files: bool = False
) -> None:
    """Send every log line of this process to `stream` (default: stdout), warnings and uncaught errors too.

    `readable`: as text also where it is no terminal, unless the environment says otherwise. `files`: into the files of
    CONVERGENCE_LOG_DIR, too. Raises `SettingsError` for an invalid CONVERGENCE_LOG_FORMAT, and for a folder that cannot
    be written.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, Lines)]:
        root.removeHandler(handler)
    lines = Lines(stream or sys.stdout, level, readable=readable)
    lines.addFilter(_NotOfRuns())
    root.addHandler(lines)
    for in_file in file_handlers() if files else ():
        root.addHandler(in_file)
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_a_thread


def set_up_beside_dagster() -> None:
    """The same in a process whose logging Dagster, and uvicorn in it, configure: before this or after."""
    if logging.config.dictConfigClass is _Configurator:
        return
    set_up(files=True)
    logging.config.dictConfigClass = _Configurator
    _take_over(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))


def redact_records() -> None:
    """Redact every log record of this process where it is created, for handlers that do not redact."""
    create = logging.getLogRecordFactory()
    if getattr(create, "redacts", False):
        return

    def created(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = create(*args, **kwargs)
        record.msg, record.args = redacted(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info)))
        return record

    created.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(created)


class _Configurator(logging.config.DictConfigurator):
    """Let handlers that others configure write lines in this format."""

    def configure(self) -> None:
        super().configure()
        _take_over(logging.getLogger(name) for name in self.config.get("loggers", {}))


def _take_over(loggers: Iterable[logging.Logger]) -> None:
    for logger in loggers:
        for handler in [h for h in logger.handlers if _writes_to_the_terminal(h)]:
            lines = Lines(sys.stdout, handler.level)
            lines.addFilter(_NotOfRuns())
            logger.removeHandler(handler)
            logger.addHandler(lines)
            for in_file in file_handlers():
                logger.addHandler(in_file)
            logger.propagate = False


def _writes_to_the_terminal(handler: logging.Handler) -> bool:
    if isinstance(handler, Lines) or not isinstance(handler, logging.StreamHandler):
        return False
    stream: Any = handler.stream
    return stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)


def _formatter(stream: TextIO, readable: bool) -> logging.Formatter:
    chosen: Literal["json", "text"] = log_format(is_terminal=readable or stream.isatty())
    return JsonLines() if chosen == "json" else TextLines(colours=stream.isatty())


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _fault.warning("interrupted")
    else:
        _fault.critical("the process ends by an error: %s", error, exc_info=(kind, error, trace))


def _uncaught_in_a_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and not issubclass(uncaught.exc_type, SystemExit):
        name = uncaught.thread.name if uncaught.thread else "unknown"
        exc_info = (uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
        _fault.error("the thread %s ends by an error: %s", name, uncaught.exc_value, exc_info=exc_info)
