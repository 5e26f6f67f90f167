"""The control store's tables as this code reads them; `migrations/` creates them."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

# The newest file of migrations/versions; a store at this revision is opened without importing alembic.
HEAD = "0014"

# Dagster has its own `alembic_version` in the same Postgres: every name here has one prefix.
VERSION_TABLE = "convergence_schema_version"

metadata = sa.MetaData()


class Moment(sa.TypeDecorator[datetime]):
    """A moment in UTC, timezone-aware in Python; SQLite stores it without a zone."""

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
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# One row: the oldest `HEAD` whose code can use the tables. A migration that former releases cannot live with raises it.
compatibility = sa.Table(
    "convergence_schema_compatibility", metadata, sa.Column("oldest_revision", sa.Text, nullable=False)
)

# A row is a process of a run that holds the days [first_day, last_day]; released rows are deleted.
locks = sa.Table(
    "convergence_locks",
    metadata,
    # Never reused, and larger with each lock taken.
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

# The last publish of every table's partition. `version` grows with each publish in the store; `read_through` is the
# newest version when the rows were read: an upstream with a later one was read too early.
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
    sa.Column("definition", sa.Text),
    sa.Column("table_version", sa.Integer, nullable=False, server_default="1"),
    sa.Index("convergence_publications_by_version", "version"),
)

# What tables were defined as when days of them were published; `content` is JSON, `version` its hash.
definitions = sa.Table(
    "convergence_definitions",
    metadata,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
)

# A run that was requested or has begun, and its outcome. Plans count these rows, except failed ones. `asked_by` is the
# API key that requested it.
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

# The planner's progress with a pipeline: every day of [opened_from, opened_through], and `newest_opened`, is
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

# Days that are due and not published as they should be. `wake_at` is when the planner checks the row again; NULL where
# something else has to happen first; `asked_by` is the API key that requested it.
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

# Paused pipelines; an empty pipeline means all the tenant's.
pauses = sa.Table(
    "convergence_pauses",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("paused_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("paused_at", Moment, nullable=False),
)

# A follower's progress.
cursors = sa.Table(
    "convergence_cursors",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# The runs index: a row per run and pipeline, in its last known state.
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

# How far each run was followed; a row is deleted when no more events of its run can come. `read_through` and
# `read_beyond` are ids of Dagster's event storage: everything up to the first, and single ones after it.
# `dagster_status` is empty where the index is rebuilt and the run was not found again yet, and `?` where a run's
# pipelines are not known yet; `kept` is what a rebuild cannot recover.
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

# Rows of the ledger that the warehouse does not have yet; of each row only the newest version.
ledger_rows = sa.Table(
    "convergence_ledger_rows",
    metadata,
    # Never reused, so that its first and last identify a batch.
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

# The writing of a tenant's rows: its current lease, and when it is retried after a failure.
ledger_writers = sa.Table(
    "convergence_ledger_writers",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("writing_until", Moment),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("retry_at", Moment),
)

# The follower's position: JSON, one row.
ledger_progress = sa.Table(
    "convergence_ledger_progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# The counters of metrics; `labels` are the values of the series' labels, joined.
counters = sa.Table(
    "convergence_counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("labels", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

# The process that executes a run, recorded before the run begins. `end_requested_at` requests that the process's host
# end it.
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

# What was done about a stuck run: a row per step, inserted before the step and completed after it.
remediations = sa.Table(
    "convergence_remediations",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("rung", sa.Text, key="step", primary_key=True),
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

# Conditions that people should know about, from their first report to their end; one open row per fingerprint.
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

# The messages to one destination about one cause, from `trigger` to `resolve`. `told_at` is when people were last
# notified, `posted_at` when anything was last sent; both are NULL while the group still waits for others.
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

# The incidents of a notification; `told_count` is an incident's count when people were last notified.
notified = sa.Table(
    "convergence_notified",
    metadata,
    sa.Column("notification_id", sa.Text, primary_key=True),
    sa.Column("incident_id", sa.Text, primary_key=True),
    sa.Column("told_at", Moment),
    sa.Column("told_count", sa.BigInteger, nullable=False),
    sa.Index("convergence_notified_by_incident", "incident_id"),
)

# Messages to be sent, in the order of their decision. `refused` says that the receiver rejected this message, which
# then waits by itself; any other failure blocks the whole destination.
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

# Who did what, and its outcome. `subject` is what it was done to: a key, a run, a fingerprint.
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

# Days requested over HTTP; the planner launches their runs.
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

# Changes and their moments: a tenant's files and pipelines, tables, the installed packages. `state` is what the next
# state is compared with, as JSON; it is NULL where nothing is.
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

# Where a tenant's days are published, and in which timezone, since its first publish.
places = sa.Table(
    "convergence_places",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("settled_at", Moment, nullable=False),
)

# The owner of each source: a table by its full name, a remote folder by its URL.
source_owners = sa.Table(
    "convergence_source_owners",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
)
