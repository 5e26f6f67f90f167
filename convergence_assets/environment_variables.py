"""Every environment variable that a process reads: its meaning and its default. `docs/SETTINGS.md` is made from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PREFIX = "CONVERGENCE_"


@dataclass(frozen=True)
class Variable:
    """One variable: `meaning` and `default` are Markdown; `default` is empty where there is none."""

    name: str
    meaning: str
    default: str = ""


VARIABLES = (
    Variable(
        "CONVERGENCE_WAREHOUSE",
        "`embedded` or `bigquery`",
        "`bigquery` if `GCP_PROJECT_ID` is set, else `embedded`",
    ),
    Variable("GCP_PROJECT_ID", "the BigQuery project"),
    Variable("BIGQUERY_EMULATOR_HOST", "the URL of a local BigQuery server"),
    Variable("BIGQUERY_STORAGE_EMULATOR_HOST", "the Storage API of that server, as host:port", "rows come over REST"),
    Variable(
        "CONVERGENCE_HOME",
        "local state: the embedded warehouse, accepted tenant files, Dagster's storage",
        "`.convergence`",
    ),
    Variable("CONVERGENCE_TENANTS", "the tenants folder, or an fsspec URL", "`tenants`"),
    Variable(
        "CONVERGENCE_LANDING",
        "where tenants' files arrive, in a folder of each ([where files lie](PIPELINES.md#where-files-lie))",
        "`landing` beside the tenants folder",
    ),
    Variable("CONVERGENCE_STRICT", "`1`: a rejected tenant fails the load of definitions"),
    Variable(
        "CONVERGENCE_ONLY_TENANTS",
        "load these tenants alone (comma-separated ids); their files are not checked against those of the others",
        "all",
    ),
    Variable(
        "CONVERGENCE_SHARD",
        "`2/4`: the assets and schedules of the second of four parts of the tenants "
        "([many tenants](OPERATING.md#many-tenants))",
        "all",
    ),
    Variable(
        "CONVERGENCE_CONTROL_URL",
        "the control store: `postgresql://…`, or `sqlite:////folder/control.db`",
        "Dagster's Postgres where it has one, else a file in `CONVERGENCE_HOME`",
    ),
    Variable(
        "CONVERGENCE_DAGSTER_URL",
        "where the Dagster UI can be opened: links of alerts, the reload after onboarding, `doctor`",
    ),
    Variable("CONVERGENCE_RUNBOOK_URL", "where [RUNBOOK.md](RUNBOOK.md) can be opened: links of alerts"),
    Variable(
        "CONVERGENCE_WORKSPACE",
        "the workspace file that names the code servers (host and port) whose health `/health/ready`, `status` and "
        "`watch` check",
        "that of a running `convergence up`, else `workspace.yaml` here",
    ),
    Variable("API_PORT", "the port of the HTTP service", "8080"),
    Variable(
        "CONVERGENCE_ADMIN_KEY",
        "the operator's key of the HTTP service; without one the admin routes answer 401",
        "none",
    ),
    Variable(
        "CONVERGENCE_METRICS_TOKEN",
        "what a Prometheus on another host sends as `Authorization: Bearer` for `/metrics`",
        "none",
    ),
    Variable("CONVERGENCE_API_PER_MINUTE", "requests that a tenant may send in a minute", "100"),
    Variable("CONVERGENCE_API_PER_HOUR", "requests that a tenant may send in an hour", "1000"),
    Variable(
        "REDIS_URL",
        "where several API processes count requests together; while it is away, each counts by itself",
        "each process in its memory",
    ),
    Variable(
        "CONVERGENCE_LOG_FORMAT",
        "`json`, `text`, or `auto`: text on a terminal, else JSON ([LOGS.md](LOGS.md))",
        "`auto`",
    ),
    Variable(
        "CONVERGENCE_LOG_DIR",
        "a folder for app.log, error.log and audit.log beside stdout ([log files](LOGS.md#log-files))",
        "none",
    ),
    Variable(
        "CONVERGENCE_MEMORY_LIMIT",
        "what the embedded engine may use in one process before it spills to disk",
        "`768MB`",
    ),
    Variable(
        "CONVERGENCE_KEEP_EVENTS_DAYS",
        "how long the events of a run, and ticks, are kept ([history](OPERATING.md#how-long-history-is-kept))",
        "90",
    ),
    Variable("CONVERGENCE_KEEP_RUNS_DAYS", "how long runs, and rows of the ledger, are kept", "365"),
    Variable(
        "CONVERGENCE_DAGSTER_PATCHES",
        "`off` leaves Dagster as it is installed, with its own storage and console log, and planned checks shown as "
        "failed: slower and larger with many tenants",
        "on with the version of Dagster that they are made for",
    ),
)


def misspelled(environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """The variables that begin with CONVERGENCE_ and that nothing reads, each with the nearest that is read."""
    from rapidfuzz import process

    known = [variable.name.removeprefix(PREFIX) for variable in VARIABLES if variable.name.startswith(PREFIX)]
    for name in sorted(environ):
        rest = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and rest not in known:
            nearest = process.extractOne(rest, known, score_cutoff=75)
            yield name, f"{PREFIX}{nearest[0]}" if nearest else None


def markdown() -> str:
    """The text of `docs/SETTINGS.md`."""
    rows = [f"| `{one.name}` | {one.meaning} | {one.default} |" for one in VARIABLES]
    head = [
        "# Settings",
        "",
        "Environment variables. A process reads them once, when it starts.",
        "",
        "| variable | meaning | default |",
        "|---|---|---|",
    ]
    tail = [
        "",
        "On Kubernetes and Cloud Run, and beside a Dagster on Postgres, the embedded warehouse starts only where",
        "`CONVERGENCE_WAREHOUSE=embedded` chooses it. `convergence doctor` names variables that nothing reads.",
        "",
    ]
    return "\n".join([*head, *rows, *tail])


if __name__ == "__main__":
    print(markdown(), end="")
