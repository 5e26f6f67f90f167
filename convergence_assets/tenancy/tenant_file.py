"""What `tenant.yaml` and `_defaults.yaml` may say."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import Field, SecretStr, field_validator, model_validator

from convergence_assets.pipelines.models import A_YEAR_OF_MINUTES, ExpectationSpec, Model, Name, StuckSpec
from convergence_assets.pipelines.parameters import TABLE
from convergence_assets.pipelines.problems import nearest
from convergence_assets.tenancy.secrets import Secret

DEFAULTS_FILE = "_defaults.yaml"
RESERVED_IDS = ("information_schema", "admin", "platform")
RESERVED_PREFIX = "convergence"
EARLIEST_START = date(2000, 1, 1)

_CRON_NAMES = re.compile(
    r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)\b", re.IGNORECASE
)
_PLAIN_CRON = re.compile(r"[0-9*,/ -]+")
_PROJECT = r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
_LOCATION = r"^[A-Za-z0-9-]+$"
_DATASET = r"^[A-Za-z][A-Za-z0-9_]{0,1023}$"
_ACCOUNT_PATTERN = re.compile(r"[a-z0-9-]*\{tenant\}[a-z0-9-]*@[a-z0-9.-]+")
# Dagster's own rule for an owner: one that it refuses would stop the whole code location.
_OWNER = r"^(team:[A-Za-z0-9_.-]+|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7})$"
_ACCOUNT = r"^[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.-]+$"
_TEXT = r"^[^\x00-\x1f\x7f]+$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_MEANT = {
    _PROJECT: "a Google Cloud project id: 6 to 30 lower-case letters, digits or -",
    _DATASET: "a letter, then letters, digits or _",
    _LOCATION: "a BigQuery location like EU or europe-west3",
    _OWNER: "an e-mail address or team:name",
    _TEXT: "printable text; * stands for any characters",
    _ACCOUNT: "a service account's e-mail address",
    _VARIABLE: "the name of an environment variable",
}


class Plan(Model):
    """What a tenant may use; counts of runs."""

    max_concurrent_runs: Annotated[int, Field(gt=0)]
    daily_runs: Annotated[int, Field(gt=0)]
    monthly_runs: Annotated[int, Field(gt=0)]


class Route(Model):
    """Where alerts of some severities go; `to` is an Apprise URL, usually `${env:NAME}`."""

    severities: Annotated[tuple[Literal["critical", "warning", "info"], ...], Field(strict=False, min_length=1)]
    to: SecretStr

    @field_validator("to")
    @classmethod
    def _is_an_address(cls, to: SecretStr) -> SecretStr:
        if not Secret(to.get_secret_value()).is_address:
            raise ValueError("not an address; expected a URL like slack://..., or ${env:NAME}")
        return to


class Alerts(Model):
    """Alert routes."""

    routes: Annotated[tuple[Route, ...], Field(strict=False, max_length=20)] = ()


class BigQueryPlace(Model):
    """Where a tenant's tables live."""

    project: Annotated[str, Field(pattern=_PROJECT)] | None = None
    dataset: Annotated[str, Field(pattern=_DATASET)] | None = Field(None, description="The tenant id where not given")
    location: Annotated[str, Field(pattern=_LOCATION)] | None = None

    @field_validator("dataset")
    @classmethod
    def _is_free(cls, dataset: str | None) -> str | None:
        if dataset is not None and is_reserved(dataset):
            raise ValueError(f"{dataset!r} is reserved; choose another dataset")
        return dataset


class TenantPipelineSpec(Model):
    """A pipeline that a tenant runs."""

    template: Name = Field(description="One of the library's, or of the tenant's own pipelines/")
    with_: dict[str, Any] = Field({}, alias="with", description="Values of the template's parameters")
    start_date: date = Field(description="The first partition")
    schedule: str | None = Field(None, description="Cron in the tenant's timezone")
    max_pipeline_duration_minutes: Annotated[int, Field(gt=0, le=1440)] | None = None
    wait_at_most_hours: Annotated[int, Field(gt=0, le=A_YEAR_OF_MINUTES // 60)] | None = None
    stuck: StuckSpec = Field(StuckSpec(), description="When a run of it counts as stuck")
    late_after_minutes: Annotated[int, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = Field(
        None, description="So long after it is due an unpublished day is late"
    )
    paused: bool = Field(False, description="True: its days are not requested; `convergence pause` does the same")
    thresholds: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description="table -> check -> changed arguments, or `severity`"
    )
    expectations: dict[str, Annotated[tuple[ExpectationSpec, ...], Field(strict=False)]] = Field(
        {}, description="table -> further expectations"
    )

    @field_validator("start_date")
    @classmethod
    def _is_of_our_time(cls, start_date: date) -> date:
        if start_date < EARLIEST_START:
            raise ValueError(f"{start_date} is long past; expected a date from {EARLIEST_START} on")
        return start_date

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str | None) -> str | None:
        return None if schedule is None else valid_cron(schedule)


class TenantSpec(Model):
    """`tenant.yaml`."""

    never_shown: ClassVar[frozenset[str]] = frozenset({"alerts"})
    meant: ClassVar[Mapping[str, str]] = {**Model.meant, **_MEANT}

    tenant_id: Name
    display_name: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: str = Field(description="An IANA name; a partition is a day there")
    bigquery: BigQueryPlace = BigQueryPlace()
    plan: str | None = None
    service_account: str | None = Field(None, description="The operator's to say, in _defaults.yaml")
    owners: Annotated[tuple[Annotated[str, Field(pattern=_OWNER)], ...], Field(strict=False)] = ()
    enabled: bool = True
    paused: bool = Field(False, description="True: no day of any of its pipelines is requested")
    pipelines: Annotated[tuple[TenantPipelineSpec, ...], Field(strict=False, min_length=1)]
    alerts: Alerts | None = None

    @field_validator("timezone")
    @classmethod
    def _is_iana(cls, timezone: str) -> str:
        if timezone not in _timezones():
            near = nearest(timezone, _timezones())
            hint = f"; did you mean '{near}'?" if near else ""
            raise ValueError(f"{timezone!r} is no IANA timezone; expected a name like Europe/Berlin{hint}")
        return timezone

    @field_validator("tenant_id")
    @classmethod
    def _is_free(cls, tenant_id: str) -> str:
        if is_reserved(tenant_id):
            raise ValueError(f"{tenant_id!r} is reserved; choose another tenant id")
        return tenant_id


class Access(Model):
    """What a tenant may read beside what is its own."""

    tables: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="Tables of another tenant's dataset: dataset.table, or dataset.* for all of it"
    )
    files: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="Folders beside landing/<tenant>, local or remote, with all that is below"
    )
    hosts: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="Hosts without a public address that files and alerts may go to"
    )

    def gives(self, table: str) -> bool:
        """Whether a table, as it is written, is among `tables`."""
        return any(fnmatchcase(table.lower(), pattern.lower()) for pattern in self.tables)


class Share(Model):
    """Which rows of a shared source are one tenant's: of these projects, and with all of these labels."""

    projects: Annotated[tuple[Annotated[str, Field(pattern=_TEXT)], ...], Field(strict=False)] = ()
    labels: dict[Annotated[str, Field(pattern=_TEXT)], Annotated[str, Field(pattern=_TEXT)]] = Field({})

    @model_validator(mode="after")
    def _says_something(self) -> "Share":
        if not self.projects and not self.labels:
            raise ValueError("no rows are named; expected `projects`, `labels` or both")
        return self


class Limits(Model):
    """The largest values that a tenant's files may say; absent: 100, 240, 1 000 000 and 90."""

    maximum_gigabytes_billed: Annotated[int, Field(gt=0)] | None = None
    max_pipeline_duration_minutes: Annotated[int, Field(gt=0, le=1440)] | None = None
    validate_in_warehouse_above_rows: Annotated[int, Field(ge=0)] | None = None
    look_back_days: Annotated[int, Field(gt=0, le=90)] | None = None


class Allowance(Model):
    """What the operator gives one tenant; its own files may say less."""

    plan: str | None = None
    project: Annotated[str, Field(pattern=_PROJECT)] | None = None
    service_account: Annotated[str, Field(pattern=_ACCOUNT)] | None = Field(
        None, description="As whom its statements run on BigQuery"
    )
    limits: Limits = Limits()


class Defaults(Model):
    """`_defaults.yaml`: what holds for a tenant that says nothing else, and what the operator allows each."""

    never_shown: ClassVar[frozenset[str]] = frozenset({"alerts"})
    meant: ClassVar[Mapping[str, str]] = {**Model.meant, **_MEANT}

    plans: dict[Name, Plan]
    plan: str
    schedule: str
    max_pipeline_duration_minutes: Annotated[int, Field(gt=0, le=1440)] | None = None
    stuck: StuckSpec = StuckSpec()
    late_after_minutes: Annotated[int, Field(gt=0, le=A_YEAR_OF_MINUTES)] | None = None
    alerts: Alerts = Alerts()
    service_account: str | None = Field(
        None, description="Of every tenant without one of its own: an address with {tenant}, in which _ becomes -"
    )
    tenants: dict[Name, Allowance] = Field({}, description="By tenant")
    limits: Limits = Field(Limits(), description="For every tenant without bounds of its own")
    access: dict[Name | Literal["*"], Access] = Field({}, description="By tenant, `*` for all; hosts: [...] for all")
    secrets: dict[Name, Annotated[tuple[Annotated[str, Field(pattern=_VARIABLE)], ...], Field(strict=False)]] = Field(
        {}, description="By tenant: variables that its ${env:NAME} may name beside <ID>__..."
    )

    shared_sources: dict[str, dict[Name, Share]] = Field(
        {}, description="By table and tenant: the rows that are its; `_rest: operator` names whose the others are"
    )

    @field_validator("shared_sources", mode="before")
    @classmethod
    def _rest_is_the_operators(cls, sources: object) -> object:
        if not isinstance(sources, dict):
            return sources
        for table, shares in sources.items():
            if isinstance(shares, dict) and shares.get("_rest", "operator") != "operator":
                raise ValueError(f"{table}: _rest: {shares['_rest']}; expected operator")
            if not TABLE.fullmatch(str(table)):
                raise ValueError(f"{table!r} is no table name; expected dataset.table or project.dataset.table")
        return {
            table: {name: share for name, share in shares.items() if name != "_rest"}
            if isinstance(shares, dict)
            else shares
            for table, shares in sources.items()
        }

    def by_operator(self) -> dict[str, Any]:
        """What a tenant's files cannot decide: it applies to files accepted earlier, too."""
        names = ("plan", "service_account", "tenants", "limits", "access", "secrets", "shared_sources")
        return {name: getattr(self, name) for name in names}

    @field_validator("service_account")
    @classmethod
    def _is_a_pattern(cls, account: str | None) -> str | None:
        if account is not None and not _ACCOUNT_PATTERN.fullmatch(account):
            raise ValueError(
                f"{account!r} has to be an address like convergence-{{tenant}}@project.iam.gserviceaccount.com"
            )
        return account

    @field_validator("access", mode="before")
    @classmethod
    def _hosts_for_all(cls, access: object) -> object:
        """`access: {hosts: [...]}` is for every tenant, `access: {hosts: {...}}` for one of that name."""
        if not isinstance(access, dict) or not isinstance(access.get("hosts"), list):
            return access
        others, of_all = {k: v for k, v in access.items() if k != "hosts"}, access.get("*", {})
        if not isinstance(of_all, dict) or "hosts" in of_all:
            raise ValueError("hosts of every tenant stand in one place: under hosts, or in a mapping under '*'")
        return {**others, "*": {**of_all, "hosts": access["hosts"]}}

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str) -> str:
        return valid_cron(schedule)

    def access_of(self, tenant_id: str) -> Access:
        """What a tenant is given, by its name and with all others."""
        accesses = [self.access.get(name, Access()) for name in ("*", tenant_id)]
        lists = {
            key: tuple(item for access in accesses for item in getattr(access, key)) for key in Access.model_fields
        }
        return Access(**lists)

    def grants_of(self, tenant_id: str) -> dict[str, Any]:
        """The keys by which the operator grants one tenant something, each with its value."""
        dumped = self.model_dump(mode="json", exclude_unset=True, include={"tenants", "access", "secrets"})
        return {key: by_tenant[tenant_id] for key, by_tenant in dumped.items() if by_tenant.get(tenant_id)}


def is_service_account(address: str) -> bool:
    """Whether an address may be a service account's: before the @, 6 to 30 small letters, digits or -."""
    return re.fullmatch(_ACCOUNT, address) is not None


def is_reserved(name: str) -> bool:
    """Whether a tenant or dataset of this name would be the platform's."""
    return name.lower() in RESERVED_IDS or name.lower().startswith(RESERVED_PREFIX)


def valid_cron(schedule: str) -> str:
    """The schedule with one space between its fields; raises ValueError unless it is five cron fields.

    `L`, `W` and `#` are refused: cronsim and Dagster do not agree on them.
    """
    try:
        if len(schedule.split()) != 5:
            raise CronSimError("not five fields")
        if not _PLAIN_CRON.fullmatch(_CRON_NAMES.sub("1", schedule)):
            raise CronSimError("only numbers, names of days and months, and * , - /")
        CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{schedule!r} is no cron schedule ({error}); expected five fields like '0 6 * * *'") from None
    return " ".join(schedule.split())


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
