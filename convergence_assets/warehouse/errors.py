"""The one taxonomy of warehouse failures: every adapter raises these, everyone above reads them."""

from typing import ClassVar


class WarehouseError(Exception):
    """A warehouse operation failed.

    `error_class` is the stable name that ledger, alerts and API show; `retryable` says whether the same call may
    succeed later; `remedy` is the next step for a person; `anchor` the section of the troubleshooting guide.
    """

    error_class: ClassVar[str] = "warehouse_error"
    retryable: ClassVar[bool] = False
    remedy: ClassVar[str] = "Read the message; run the statement with `convergence query`."

    @property
    def anchor(self) -> str:
        return self.error_class.replace("_", "-")


class AccessDenied(WarehouseError):
    """The caller may not do this; the message names the permission or the path."""

    error_class = "access_denied"
    remedy = "Grant the named permission to the named principal (embedded: make the file writable for this user)."


class NotFound(WarehouseError):
    """A dataset, table or file does not exist; the message names it and the nearest one that does."""

    error_class = "not_found"
    remedy = "Check the name; a source table must exist before its first run, a pipeline's table is made by its run."


class NotKept(NotFound):
    """The rows that a table had at a moment are not there any more, or never were."""

    remedy = "Name a moment at which they are kept, or make the day anew with `convergence run`."


class InvalidQuery(WarehouseError):
    """The statement is wrong, or its data cannot be computed; `line` and `column` are 1-based, None if unknown."""

    error_class = "invalid_query"
    remedy = "Correct the SQL at the named position; `convergence validate --dry-run` checks it without running."

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        position = f" at line {line}, column {column}" if line is not None else ""
        super().__init__(f"{message}{position}")
        self.line = line
        self.column = column


class SchemaMismatch(WarehouseError):
    """Rows or a table do not have the declared columns; nothing was written."""

    error_class = "schema_mismatch"
    remedy = (
        "Bring the pipeline's columns and its SQL or files together. New NULLABLE columns are added by themselves; "
        "a removed column or a changed type or mode needs a higher `version` of the step, and `convergence upgrade`."
    )


class VersionMismatch(SchemaMismatch):
    """A table is of another version than its step declares; nothing was written."""

    remedy = (
        "`convergence upgrade TENANT --plan` shows what to do: --apply builds the declared version and switches to it; "
        "where a lower one is declared, --rollback --table switches back. Either requests failed days again."
    )


class UpgradeNotEnded(SchemaMismatch):
    """The switch of a table to another version was interrupted; nothing was written."""

    remedy = "`convergence upgrade TENANT --apply` (or --rollback --table) ends it, and requests failed days again."


class NameTaken(SchemaMismatch):
    """A table that is no version has the name under which a version is to be kept; nothing was changed."""

    remedy = "Rename or drop the named table or view, then the same command again."


class SwitchRunning(SchemaMismatch):
    """A statement of an interrupted switch of the table still runs on the warehouse; nothing was changed."""

    remedy = "The same command again once it has ended; `convergence jobs` shows it."


class NotReplaceable(SchemaMismatch):
    """The engine cannot let one table take another's place in one step; nothing was changed."""

    remedy = "The same command with --accept-gap allows that the table is absent for some seconds."


class UnreadableFile(SchemaMismatch):
    """A file does not hold the declared columns as docs/FILES.md writes them; each line names one place."""

    remedy = "Mend the file, or the columns that the pipeline declares (docs/FILES.md), and run again."


class ResourcesExceeded(WarehouseError):
    """The statement needs more memory or disk than it may use."""

    error_class = "resources_exceeded"
    remedy = "Narrow the partition range, or raise CONVERGENCE_MEMORY_LIMIT."


class DamagedWarehouse(WarehouseError):
    """A file of the embedded warehouse is not what was written into it."""

    error_class = "damaged"
    remedy = (
        "Bring the named file back from a copy; or move it aside: the next run makes its tables, and `convergence "
        "backfill` their days. `convergence doctor` names every damaged file."
    )


class JobTimeout(WarehouseError):
    """The statement ran longer than its pipeline allows and was cancelled."""

    error_class = "timeout"
    retryable = True
    remedy = "Look for a missing partition filter; else raise max_pipeline_duration_minutes."


class WarehouseBusy(WarehouseError):
    """Another process kept the dataset locked for longer than this job may wait."""

    error_class = "busy"
    retryable = True
    remedy = "Find the long reader or writer of this dataset, or run again later."


class StagingChanged(WarehouseError):
    """The staging table is not the one that was validated; nothing was published."""

    error_class = "staging_changed"
    retryable = True
    remedy = "Run the partition again; two processes must not share one run id."


class WarehouseUnavailable(WarehouseError):
    """The warehouse's storage did not answer; the same call may succeed later."""

    error_class = "unavailable"
    retryable = True
    remedy = "Check disk and file system (embedded) or network and status page (BigQuery)."


class QuotaExceeded(WarehouseError):
    """A quota of the project is used up for now; the message names it."""

    error_class = "quota_exceeded"
    retryable = True
    remedy = "Wait for the quota's next period, spread the runs, or ask for a higher quota of the named kind."


class RateLimited(WarehouseError):
    """Too many requests in a short time; slower ones pass."""

    error_class = "rate_limited"
    retryable = True
    remedy = "Nothing at once: it is sent again with growing waits. If it stays, lower the runs at a time."


class BytesCapExceeded(WarehouseError):
    """The statement would read more than its pipeline may be billed for; nothing was read or billed."""

    error_class = "bytes_cap_exceeded"
    remedy = "Filter on the partition column and name the columns; else raise maximum_gigabytes_billed."


class PartitionConflict(WarehouseError):
    """Another job changed the same table at the same time; nothing was written by this one."""

    error_class = "partition_conflict"
    retryable = True
    remedy = "Nothing at once: it is sent again. If it stays, find the other writer with `convergence jobs`."


class JobCancelled(WarehouseError):
    """Someone ended the job on the warehouse."""

    error_class = "job_cancelled"
    remedy = "Find who ended it in the warehouse's audit log; run the partition again if it was not on purpose."


ERROR_CLASSES: dict[str, type[WarehouseError]] = {
    kind.error_class: kind
    for kind in (
        WarehouseError, AccessDenied, NotFound, InvalidQuery, SchemaMismatch, ResourcesExceeded, DamagedWarehouse,
        JobTimeout, WarehouseBusy, StagingChanged, WarehouseUnavailable, QuotaExceeded, RateLimited, BytesCapExceeded,
        PartitionConflict, JobCancelled,
    )
}  # fmt: skip
"""Every class by its stable name: what ledger, alerts, API and docs/TROUBLESHOOTING.md speak of."""
