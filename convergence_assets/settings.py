"""Environment variables to one frozen `Settings`."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ONLY_TENANTS = "CONVERGENCE_ONLY_TENANTS"
IN_A_CONTAINER = ("KUBERNETES_SERVICE_HOST", "K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL")
"""Variables that Kubernetes and Cloud Run set in every container."""
"""The variable that lists the tenants to load, comma-separated; a run's worker has its own tenant's."""

WarehouseKind = Literal["embedded", "bigquery"]


class SettingsError(ValueError):
    """An environment variable has an invalid value; the message names it and the remedy."""


_LOCATION = re.compile(r"tenants-([1-9]\d*)-of-([1-9]\d*)")


@dataclass(frozen=True)
class Shard:
    """One of `of` parts of the tenants, chosen by their ids: a tenant changes its part only where `of` changes."""

    number: int = 1
    of: int = 1

    def holds(self, tenant_id: str) -> bool:
        """Whether the tenant is in this part; every tenant is in exactly one."""
        return int.from_bytes(hashlib.sha256(tenant_id.encode()).digest()[:8], "big") % self.of == self.number - 1

    @property
    def location_name(self) -> str:
        """The code location of this part, as `convergence workspace` names it."""
        return f"tenants-{self.number}-of-{self.of}"

    @classmethod
    def of_location(cls, name: str) -> "Shard | None":
        """The part of a code location; None where its name is not one of these."""
        match = _LOCATION.fullmatch(name)
        return cls(int(match[1]), int(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Settings:
    """The settings of the environment, read once.

    `home` holds local state (the embedded warehouse, accepted tenant files); `tenants` is a folder or an
    fsspec URL; `strict` makes a rejected tenant fail the load of definitions; `emulator` is the URL of a local
    BigQuery server, `storage_emulator` its Storage API as host:port (None: rows come over REST); `control_url`
    names a control store other than the default one; `landing_folder` is where tenants' files arrive (None: `landing/`
    beside `tenants`); `only_tenants` are the tenants to load (None: all); `shard` is
    the part of them that this code location has assets of; `dagster_url` and `runbook_url` are where the Dagster UI
    and docs/RUNBOOK.md can be opened, for the links of alerts, `workspace` the file that names the code servers, which
    are probed; `admin_key` opens the API's admin routes (None: nothing
    does), `metrics_token` opens /metrics alone, `api_port` is where it is served, `api_per_minute` and `api_per_hour`
    limit a tenant's requests, `redis_url` is where they are counted (None: in its own memory);
    `keep_events_days` and `keep_runs_days` are how long history is kept.
    """

    home: Path
    tenants: str
    warehouse: WarehouseKind
    warehouse_reason: str
    project: str | None
    strict: bool
    emulator: str | None = None
    storage_emulator: str | None = None
    control_url: str | None = None
    only_tenants: frozenset[str] | None = None
    shard: Shard = Shard()
    dagster_url: str | None = None
    runbook_url: str | None = None
    workspace: Path | None = None
    admin_key: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)
    api_port: int = 8080
    api_per_minute: int = 100
    api_per_hour: int = 1000
    redis_url: str | None = field(default=None, repr=False)
    landing_folder: Path | None = None
    keep_events_days: int = 90
    keep_runs_days: int = 365

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `SettingsError` where the warehouse is unclear or must not be the embedded one."""
        project = environ.get("GCP_PROJECT_ID") or None
        warehouse, reason = _warehouse(environ, project)
        return cls(
            home=Path(environ.get("CONVERGENCE_HOME") or ".convergence").absolute(),
            tenants=environ.get("CONVERGENCE_TENANTS") or "tenants",
            warehouse=warehouse,
            warehouse_reason=reason,
            project=project,
            strict=environ.get("CONVERGENCE_STRICT", "").lower() in ("1", "true", "yes"),
            emulator=_url(environ.get("BIGQUERY_EMULATOR_HOST")),
            storage_emulator=environ.get("BIGQUERY_STORAGE_EMULATOR_HOST") or None,
            control_url=environ.get("CONVERGENCE_CONTROL_URL") or None,
            only_tenants=_names(environ.get(ONLY_TENANTS)),
            shard=_shard(environ.get("CONVERGENCE_SHARD")),
            dagster_url=environ.get("CONVERGENCE_DAGSTER_URL") or None,
            runbook_url=environ.get("CONVERGENCE_RUNBOOK_URL") or None,
            workspace=_folder(environ.get("CONVERGENCE_WORKSPACE")),
            admin_key=environ.get("CONVERGENCE_ADMIN_KEY") or None,
            metrics_token=environ.get("CONVERGENCE_METRICS_TOKEN") or None,
            api_port=_port(environ.get("API_PORT")),
            api_per_minute=_count(environ, "CONVERGENCE_API_PER_MINUTE", 100),
            api_per_hour=_count(environ, "CONVERGENCE_API_PER_HOUR", 1000),
            redis_url=environ.get("REDIS_URL") or None,
            landing_folder=_folder(environ.get("CONVERGENCE_LANDING")),
            keep_events_days=_days(environ, "CONVERGENCE_KEEP_EVENTS_DAYS", 90),
            keep_runs_days=_days(environ, "CONVERGENCE_KEEP_RUNS_DAYS", 365),
        )

    @property
    def landing(self) -> Path:
        """Where tenants' files arrive, in a folder of each."""
        return self.landing_folder or landing_beside(self.tenants)

    @property
    def accepted_tenants(self) -> Path:
        """Where the last accepted version of every tenant's files is kept."""
        return self.home / "accepted"

    @property
    def warehouse_folder(self) -> Path:
        """Where the embedded warehouse keeps its files."""
        return self.home / "warehouse"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance that the `convergence` command uses where DAGSTER_HOME names no other."""
        return self.home / "dagster"


def landing_beside(tenants: str) -> Path:
    """The default landing zone of a tenants folder; in the working folder for one behind a URL."""
    return (Path.cwd() if "://" in tenants else Path(tenants).absolute().parent) / "landing"


LogFormat = Literal["json", "text"]


def log_format(*, is_terminal: bool, environ: Mapping[str, str] = os.environ) -> LogFormat:
    """The value of CONVERGENCE_LOG_FORMAT; `auto`, or unset: text on a terminal, else JSON.

    Raises `SettingsError` for anything else.
    """
    chosen = environ.get("CONVERGENCE_LOG_FORMAT") or "auto"
    if chosen == "auto":
        return "text" if is_terminal else "json"
    if chosen in ("json", "text"):
        return "json" if chosen == "json" else "text"
    raise SettingsError(f"CONVERGENCE_LOG_FORMAT={chosen!r}: expected 'json', 'text' or 'auto'")


def _warehouse(environ: Mapping[str, str], project: str | None) -> tuple[WarehouseKind, str]:
    named = environ.get("CONVERGENCE_WAREHOUSE")
    if named:
        if named == "embedded":
            return "embedded", "CONVERGENCE_WAREHOUSE=embedded"
        if named == "bigquery":
            if not project:
                raise SettingsError("CONVERGENCE_WAREHOUSE=bigquery needs GCP_PROJECT_ID: set it to your project's id")
            return "bigquery", "CONVERGENCE_WAREHOUSE=bigquery"
        raise SettingsError(f"CONVERGENCE_WAREHOUSE={named!r}: expected 'embedded' or 'bigquery'")
    if project:
        return "bigquery", "GCP_PROJECT_ID is set"
    by_name = "starts here only by name. Set GCP_PROJECT_ID, or CONVERGENCE_WAREHOUSE=embedded"
    for variable in IN_A_CONTAINER:
        if environ.get(variable):
            raise SettingsError(
                f"no warehouse is chosen and {variable} is set: the embedded warehouse keeps its data on this pod's "
                f"disk and {by_name}"
            )
    if environ.get("DAGSTER_HOME") and _on_postgres(Path(environ["DAGSTER_HOME"], "dagster.yaml")):
        raise SettingsError(
            f"no warehouse is chosen and Dagster runs on Postgres ({environ['DAGSTER_HOME']}/dagster.yaml): the "
            f"embedded warehouse keeps its data on this machine's disk and {by_name}"
        )
    return "embedded", "neither CONVERGENCE_WAREHOUSE nor GCP_PROJECT_ID is set"


def _folder(path: str | None) -> Path | None:
    return Path(path).absolute() if path else None


def _port(text: str | None) -> int:
    # Kubernetes sets `API_PORT=tcp://...` by itself where a service is called api.
    if not text or text.startswith("tcp://"):
        return 8080
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SettingsError(f"API_PORT={text!r}: expected a port between 1 and 65535")
    return int(text)


def _count(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{variable}={text!r}: expected a number of requests, at least 1")
    return int(text)


def _days(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 7 <= int(text) <= 36500:
        raise SettingsError(f"{variable}={text!r}: expected a number of days, at least 7")
    return int(text)


def _shard(text: str | None) -> Shard:
    if not text:
        return Shard()
    number, _, of = text.partition("/")
    counts = all(word.isascii() and word.isdigit() for word in (number, of))
    if not counts or not 1 <= int(number) <= int(of):
        raise SettingsError(f"CONVERGENCE_SHARD={text!r}: expected a part of the tenants such as 1/4 (up to 4/4)")
    return Shard(int(number), int(of))


def _names(listed: str | None) -> frozenset[str] | None:
    return frozenset(name.strip() for name in (listed or "").split(",") if name.strip()) or None


def _url(host: str | None) -> str | None:
    return host if not host or "://" in host else f"http://{host}"


def _on_postgres(config: Path) -> bool:
    values = dagster_yaml_with_postgres(config)
    parts = ("storage", "run_storage", "event_log_storage", "schedule_storage")
    return any("postgres" in str(values.get(part)) for part in parts)


def dagster_yaml_with_postgres(config: Path) -> Mapping[str, Any]:
    """The content of a `dagster.yaml`; empty where it names no Postgres, does not exist, or is no YAML."""
    try:
        text = config.read_text()
    except OSError:
        return {}
    if "postgres" not in text:
        return {}
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}  # Dagster itself reports the mistake.
    return values if isinstance(values, dict) else {}
