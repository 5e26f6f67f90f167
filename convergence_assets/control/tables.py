"""The control store's tables as the code of today reads them; `migrations/` is how they came to be."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

# The newest file of migrations/versions; a store at this revision is opened without importing alembic.
HEAD = "0011"

# Dagster keeps an `alembic_version` of its own in the same Postgres: every name here begins alike.
VERSION_TABLE = "convergence_schema_version"

metadata = sa.MetaData()


class Moment(sa.TypeDecorator[datetime]):
    """A moment in UTC, aware in Python; SQLite keeps it without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


# A row is a process of a run that holds the days [first_day, last_day]; released rows are deleted.
locks = sa.Table(
    "convergence_locks",
    metadata,
    # Never used twice, and larger with each lock taken.
    sa.Column(
        "fence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
    ),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.Column("last_day", sa.Date, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("process_space", sa.Text, nullable=False),
    sa.Column("process", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Text, nullable=False),
    sa.Column("acquired_at", Moment, nullable=False),
    sa.Column("heartbeat_at", Moment, nullable=False),
    sa.Index("convergence_locks_by_pipeline", "tenant_id", "pipeline"),
    sqlite_autoincrement=True,
)

# The last publish of every table's partition. `version` grows with each publish in all of the store; `read_through` is
# the newest version there was when the rows were read, so that an upstream with a later one has been read too early.
publications = sa.Table(
    "convergence_publications",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("read_through", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("marker", sa.Text),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("published_at", Moment, nullable=False),
    sa.Index("convergence_publications_by_version", "version"),
)

# A run that was asked for or that began, and what became of it. Plans count these rows; a failed one does not count.
# `asked_by` is the API key of who asked.
requests = sa.Table(
    "convergence_requests",
    metadata,
    sa.Column("request_key", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.Column("last_day", sa.Date, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("requested_at", Moment, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("asked_by", sa.Text),
    sa.Index("convergence_requests_by_tenant", "tenant_id", "requested_at"),
    sa.Index("convergence_requests_by_outcome", "outcome"),
)

# How far the planner has come with a pipeline: every day of [opened_from, opened_through], and `newest_opened`, is
# published as it should be or has a row in `partitions`.
pipelines = sa.Table(
    "convergence_pipelines",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("opened_from", sa.Date, nullable=False),
    sa.Column("opened_through", sa.Date, nullable=False),
    sa.Column("newest_opened", sa.Date),
    sa.Column("served_at", Moment),
    sa.Column("late_data_asked_at", Moment),
    sa.Column("first_seen_at", Moment),
)

# Days that are due and not published as they should be. `wake_at` is when the planner looks at the row again; NULL
# where something else has to happen first; `asked_by` is the API key of who asked for it.
partitions = sa.Table(
    "convergence_partitions",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("wake_at", Moment),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("data_version", sa.BigInteger, nullable=False),
    sa.Column("request_key", sa.Text),
    sa.Column("asked_by", sa.Text),
    sa.Column("interruptions", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Index("convergence_partitions_by_wake", "wake_at"),
)

# What people have paused; an empty pipeline means all of the tenant's.
pauses = sa.Table(
    "convergence_pauses",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("paused_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("paused_at", Moment, nullable=False),
)

# How far a follower has come.
cursors = sa.Table(
    "convergence_cursors",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# The runs index: a row a run and pipeline, as Dagster last told of it.
runs = sa.Table(
    "convergence_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("dagster_status", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("triggered_by", sa.Text),
    sa.Column("first_day", sa.Date),
    sa.Column("last_day", sa.Date),
    sa.Column("config_version", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("started_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("rows_published", sa.BigInteger, nullable=False),
    sa.Column("bytes_billed", sa.BigInteger, nullable=False),
    sa.Column("error_class", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("stuck_reason", sa.Text),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index("convergence_runs_by_pipeline", "tenant_id", "pipeline", "created_at"),
    sa.Index("convergence_runs_by_tenant", "tenant_id", "created_at"),
    sa.Index("convergence_runs_by_status", "status", "created_at"),
    sa.Index("convergence_runs_by_moment", "created_at"),
)

# How far each run was followed; a row is deleted when nothing more can come of its run. `read_through` and
# `read_beyond` are ids of Dagster's event storage: everything up to the first, and single ones after it.
# `dagster_status` is empty where the index is rebuilt and the run was not seen again yet, and `?` where it is not known
# yet which pipelines a run is of; `kept` is what a rebuild cannot learn anew.
followed_runs = sa.Table(
    "convergence_followed_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("dagster_status", sa.Text, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
    sa.Column("read_through", sa.BigInteger, nullable=False),
    sa.Column("read_beyond", sa.Text, nullable=False),
    sa.Column("steps", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("wake_at", Moment, nullable=False),
    sa.Column("kept", sa.Text),
    sa.Column("unreadable", sa.Text),
    sa.Index("convergence_followed_runs_by_wake", "ended", "wake_at"),
)

# Rows of the ledger that the warehouse does not have yet; of a row that changes meanwhile only the newest is kept.
ledger_rows = sa.Table(
    "convergence_ledger_rows",
    metadata,
    # Never used twice, so that a batch is named by its first and last.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("row_id", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("tenant_id", "table_name", "row_id", name="convergence_ledger_rows_once"),
    sa.Index("convergence_ledger_rows_by_tenant", "tenant_id", "table_name", "id"),
    sqlite_autoincrement=True,
)

# The writing of a tenant's rows: by whom it is done now, and when it is tried again where it failed.
ledger_writers = sa.Table(
    "convergence_ledger_writers",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("writing_until", Moment),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("retry_at", Moment),
)

# The follower's own place: JSON, one row.
ledger_progress = sa.Table(
    "convergence_ledger_progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# What metrics count; `labels` are the values of the series' labels, joined.
counters = sa.Table(
    "convergence_counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("labels", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

# The process that works on a run; its own row says so before the run begins. `end_requested_at` asks the process's own
# host to end it.
workers = sa.Table(
    "convergence_workers",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("process_space", sa.Text, nullable=False),
    sa.Column("process", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Text, nullable=False),
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("end_requested_at", Moment),
)

# What was done about a stuck run: a row a step, written before it is taken and completed after.
remediations = sa.Table(
    "convergence_remediations",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("rung", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date),
    sa.Column("last_day", sa.Date),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("begun_at", Moment, nullable=False),
    sa.Column("done_at", Moment),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Index("convergence_remediations_by_pipeline", "tenant_id", "pipeline", "begun_at"),
)

# Conditions that somebody should know of, from their first sign to their end; one open row a fingerprint.
incidents = sa.Table(
    "convergence_incidents",
    metadata,
    sa.Column("incident_id", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text),
    sa.Column("pipeline", sa.Text),
    sa.Column("partition", sa.Text),
    sa.Column("table_name", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("last_seen_at", Moment, nullable=False),
    sa.Column("acknowledged_at", Moment),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("resolved_at", Moment),
    sa.Column("resolution", sa.Text),
    sa.Index(
        "convergence_incidents_open",
        "fingerprint",
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    ),
    sa.Index("convergence_incidents_by_end", "resolved_at"),
)

# What one destination is told of one cause, from `trigger` to `resolve`. `told_at` is when people were last told,
# `posted_at` when anything was last sent; both are NULL while the group still waits for others.
notifications = sa.Table(
    "convergence_notifications",
    metadata,
    sa.Column("notification_id", sa.Text, primary_key=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("told_at", Moment),
    sa.Column("posted_at", Moment),
    sa.Column("acknowledged_at", Moment),
    sa.Column("closed_at", Moment),
    sa.Index("convergence_notifications_by_end", "closed_at"),
)

# The incidents of a notification; `told_count` is how often one had been seen when people were last told.
notified = sa.Table(
    "convergence_notified",
    metadata,
    sa.Column("notification_id", sa.Text, primary_key=True),
    sa.Column("incident_id", sa.Text, primary_key=True),
    sa.Column("told_at", Moment),
    sa.Column("told_count", sa.BigInteger, nullable=False),
    sa.Index("convergence_notified_by_incident", "incident_id"),
)

# Messages on their way, in the order in which they were decided. `refused` says that the receiver would not take this
# very message, which then waits by itself; any other failure holds up all of the destination.
outbox = sa.Table(
    "convergence_outbox",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True),
    sa.Column("notification_id", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_try_at", Moment, nullable=False),
    sa.Column("leased_by", sa.Text),
    sa.Column("leased_until", Moment),
    sa.Column("first_failed_at", Moment),
    sa.Column("refused", sa.Boolean, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Column("sent_at", Moment),
    sa.Index("convergence_outbox_by_destination", "destination", "sent_at", "id"),
    sa.Index("convergence_outbox_by_end", "sent_at"),
    sqlite_autoincrement=True,
)

# API keys, without their secrets.
api_keys = sa.Table(
    "convergence_api_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("key_prefix", sa.Text, nullable=False, unique=True),
    sa.Column("secret_hash", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("last_used_at", Moment),
    sa.Column("revoked_at", Moment),
    sa.Index("convergence_api_keys_by_tenant", "tenant_id", "created_at"),
)

# Who did what, and what became of it. `subject` is what it was done to: a key, a run, a fingerprint.
audit = sa.Table(
    "convergence_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True),
    sa.Column("moment", Moment, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("address", sa.Text),
    sa.Index("convergence_audit_by_moment", "moment"),
    sa.Index("convergence_audit_by_tenant", "tenant_id", "moment"),
    sqlite_autoincrement=True,
)

# Days that somebody asked for over HTTP; the planner makes their runs.
api_requests = sa.Table(
    "convergence_api_requests",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.Column("last_day", sa.Date, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
    sa.Column("retry_of", sa.Text),
    sa.Index("convergence_api_requests_by_pipeline", "tenant_id", "pipeline", "asked_at"),
    sa.Index("convergence_api_requests_by_moment", "asked_at"),
)

# What became different and when: a tenant's files and pipelines, tables, the installed packages. `state` is what is
# compared with the next time, as JSON; it is NULL where nothing is.
changes = sa.Table(
    "convergence_changes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True),
    sa.Column("moment", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("state", sa.Text),
    sa.Index("convergence_changes_by_moment", "moment"),
    sa.Index("convergence_changes_by_subject", "subject", "id"),
    sqlite_autoincrement=True,
)

# Where a tenant's days are published, and which days they are, since its first publish.
places = sa.Table(
    "convergence_places",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("settled_at", Moment, nullable=False),
)

# Whose each source is: a table by its full name, a remote folder by its URL.
source_owners = sa.Table(
    "convergence_source_owners",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
)
