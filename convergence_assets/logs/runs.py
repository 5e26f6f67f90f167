"""Dagster's events of a run as log lines: its tenant, its step, how long it took."""

import logging
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from convergence_assets.logs.files import file_handlers
from convergence_assets.logs.lines import always_say
from convergence_assets.logs.process import Lines

_SEVERITY = {
    **dict.fromkeys(("RUN_FAILURE", "STEP_FAILURE", "HOOK_ERRORED", "ASSET_FAILED_TO_MATERIALIZE"), logging.ERROR),
    **dict.fromkeys(("RUN_CANCELED", "RUN_CANCELING", "STEP_UP_FOR_RETRY", "STEP_SKIPPED"), logging.WARNING),
    **dict.fromkeys(
        ("RUN_START", "RUN_SUCCESS", "STEP_START", "STEP_RESTARTED", "STEP_SUCCESS", "ASSET_MATERIALIZATION",
         "ASSET_CHECK_EVALUATION"),
        logging.INFO,
    ),
}  # fmt: skip
"""Of Dagster's events; every other one is for debugging."""
_ENDS = frozenset({"RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED", "STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY"})
_BEGINS = frozenset({"RUN_START", "STEP_START", "STEP_RESTARTED"})
_PARTITION = "dagster/partition"
_DAY_OF_A_RANGE = "day_of_a_range"  # in an evaluation's metadata; the run's own result covers that day too


def run_logger(run_id: str | None, keys: Iterable[Sequence[str]], level: int) -> logging.Logger:
    """The logger to which Dagster passes a run's events and what its code logs.

    `keys` are the paths of the assets that the run materialises: tenant, pipeline, table.
    """
    logger = logging.Logger("dagster.run")
    logger.addHandler(Lines(sys.stdout, max(level, logging.INFO)))
    for in_file in file_handlers():
        logger.addHandler(in_file)
    logger.addFilter(_OfRun(run_id, [tuple(key) for key in keys if len(key) == 3]))
    return logger


def automation_logger() -> logging.Logger:
    """The logger that Dagster passes to a sensor or a schedule."""
    logger = logging.Logger("dagster.automation", logging.INFO)
    logger.addHandler(_OfAutomation(sys.stdout))
    return logger


class _OfRun(logging.Filter):
    """Turns Dagster's metadata into fields. Every record passes: the handler decides which lines are written."""

    def __init__(self, run_id: str | None, keys: Sequence[tuple[str, ...]]) -> None:
        super().__init__()
        tenants, pipelines = {key[0] for key in keys}, {key[:2] for key in keys}
        self._of_run = {
            "tenant": tenants.pop() if len(tenants) == 1 else None,
            "pipeline_id": pipelines.pop()[1] if len(pipelines) == 1 else None,
            "pipeline_run_id": run_id,
        }
        self._steps = {"__".join(key): key for key in keys}
        self._since: dict[str, float] = {}
        always_say(**self._of_run)

    def filter(self, record: logging.LogRecord) -> bool:
        meta: dict[str, Any] = record.__dict__.pop("dagster_meta", {})
        for name in ("dagster_event", "dagster_event_batch_metadata"):
            record.__dict__.pop(name, None)
        step, event = meta.get("step_key"), meta.get("dagster_event")
        fields = self._of_run | self._of_step(step)
        fields["pipeline_run_id"] = meta.get("run_id") or fields["pipeline_run_id"]
        fields["partition"] = (meta.get("job_tags") or {}).get(_PARTITION)
        record.msg, record.args = meta.get("orig_message", record.getMessage()), ()
        if event is not None:
            fields |= self._of_event(event, step or "", record)
        vars(record).update(fields)
        return True

    def _of_step(self, step: str | None) -> dict[str, str | None]:
        if not step:
            return {}
        tenant, pipeline, table = self._steps.get(step, (None, None, step))
        return {"step": table} | ({"tenant": tenant, "pipeline_id": pipeline} if tenant else {})

    def _of_event(self, event: Any, step: str, record: logging.LogRecord) -> dict[str, Any]:
        # Dagster writes its runs' events under their former name.
        name = str(event.event_type_value).replace("PIPELINE_", "RUN_")
        data = event.event_specific_data
        level = record.levelno if record.levelno >= logging.WARNING else logging.DEBUG
        _set_level(record, _SEVERITY.get(name, level))
        fields: dict[str, Any] = {"event": name.lower()}
        if name == "ASSET_CHECK_EVALUATION":
            fields["check"] = data.check_name
            if not data.passed:
                _set_level(record, logging.ERROR if data.severity.value == "ERROR" else logging.WARNING)
            record.msg = f"{data.check_name} {'passed' if data.passed else 'failed'}"
            if _DAY_OF_A_RANGE in data.metadata:
                _set_level(record, logging.DEBUG)
        if partition := getattr(data, "partition", None) or getattr(event, "partition", None):
            fields["partition"] = partition
        if name in _BEGINS:
            self._since[step] = time.monotonic()
        if name in _ENDS:
            fields["duration_ms"] = self._duration(data, step)
        if error := getattr(data, "error", None):
            fields["exception"] = error.to_string()
        return fields

    def _duration(self, data: Any, step: str) -> int | None:
        since, duration = self._since.pop(step, None), getattr(data, "duration_ms", None)
        if duration is not None:
            return round(float(duration))
        return round((time.monotonic() - since) * 1000) if since is not None else None


class _OfAutomation(Lines):
    """Works on a copy: Dagster keeps the record for the tick's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        copied = logging.makeLogRecord(vars(record))
        meta: dict[str, Any] = copied.__dict__.pop("dagster_meta", {})
        copied.msg, copied.args, copied.name = meta.get("orig_message", record.getMessage()), (), "dagster.automation"
        vars(copied).update(automation=meta.get("name"))
        super().emit(copied)
        for in_file in file_handlers():
            if copied.levelno >= in_file.level:
                in_file.handle(copied)


def _set_level(record: logging.LogRecord, level: int) -> None:
    record.levelno, record.levelname = level, logging.getLevelName(level)
