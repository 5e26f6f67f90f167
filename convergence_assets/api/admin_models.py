"""What the operator's routes take and answer with. Moments are UTC."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from convergence_assets.control.incidents import Incident
from convergence_assets.control.keys import LONGEST_DAYS, SCOPES, VALID_DAYS, KeyInfo, Scope

_KEY = {
    "key_id": "key_1f0c8d2b9e3a4c5d", "tenant_id": "acme", "key_prefix": "3eb2f06d76", "scopes": ["read", "run"],
    "state": "active", "created_by": "admin", "created_at": "2026-10-01T09:00:00Z",
    "expires_at": "2026-12-30T09:00:00Z", "last_used_at": None, "revoked_at": None,
}  # fmt: skip
_TENANT = {
    "tenant_id": "acme", "display_name": "Acme", "state": "served", "timezone": "Europe/Berlin", "pipelines": 2,
    "active_keys": 1,
}  # fmt: skip
_ALERT = {
    "fingerprint": "3f9a0c1d2e4b5a67", "kind": "run_failed", "severity": "critical", "title": "gcp_billing failed",
    "happened": "Run 5d7d failed: access denied.", "done": "Nothing.", "next_step": "Grant the permission.",
    "runbook": "run-failed", "tenant_id": "acme", "pipeline_id": "gcp_billing", "partition": "2026-10-01",
    "run_id": "5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10", "count": 1, "opened_at": "2026-10-02T04:00:00Z",
    "last_seen_at": "2026-10-02T04:00:00Z", "acknowledged_at": None, "acknowledged_by": None, "resolved_at": None,
}  # fmt: skip
Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS, description="Valid for so many days from now")]
Who = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.@+ -]+$", description="Who does it, for the audit log"),
]


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class TenantSummary(BaseModel):
    """A tenant in short."""

    model_config = _example(_TENANT)

    tenant_id: str
    display_name: str | None
    state: Literal["served", "paused", "disabled", "rejected", "rejected_old_version_served"]
    timezone: str | None
    pipelines: int
    active_keys: int


class Tenants(BaseModel):
    """Every tenant that has files."""

    model_config = _example({"tenants": [_TENANT]})

    tenants: list[TenantSummary]


class Plan(BaseModel):
    """What a tenant may use, and how much of it is used."""

    concurrent_runs: int
    daily_runs: int
    daily_used: int
    monthly_runs: int
    monthly_used: int


class TenantPipeline(BaseModel):
    """A pipeline of a tenant."""

    pipeline_id: str
    schedule: str
    start_date: date
    paused: bool
    tables: list[str]


class TenantDetail(TenantSummary):
    """A tenant in full."""

    model_config = _example(
        _TENANT
        | {
            "dataset": "acme", "owners": ["finops@acme.example"], "config_version": "0f6f4a9f6a10", "problems": [],
            "plan": {
                "concurrent_runs": 2, "daily_runs": 50, "daily_used": 1, "monthly_runs": 1000, "monthly_used": 30
            },
            "runs": [{"pipeline_id": "gcp_billing", "schedule": "0 6 * * *", "start_date": "2026-01-01",
                      "paused": False, "tables": ["daily_cost"]}],
        }
    )  # fmt: skip

    dataset: str | None
    owners: list[str]
    config_version: str | None
    problems: list[str] = Field(description="Why the tenant's files are rejected")
    plan: Plan | None
    runs: list[TenantPipeline]


class WantedKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"scopes": ["read"], "days": 90, "created_by": "anna"}]}
    )

    scopes: list[Scope] = Field(
        list(SCOPES), min_length=1, max_length=4, description="`run`: ask for, repeat, cancel runs"
    )
    days: Days = VALID_DAYS
    created_by: Who = "admin"


class ExtendedKey(BaseModel):
    """How long a key is to be valid."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"days": 90}]})

    days: Days = VALID_DAYS
    by: Who = "admin"


class Key(BaseModel):
    """A key without its secret, which is kept nowhere."""

    model_config = _example(dict(_KEY))

    key_id: str
    tenant_id: str
    key_prefix: str
    scopes: list[str]
    state: Literal["active", "expired", "revoked"]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: KeyInfo, state: str) -> Self:
        fields = {name: value for name, value in vars(key).items() if name not in ("prefix", "scopes")}
        return cls.model_validate(fields | {"key_prefix": key.prefix, "scopes": list(key.scopes), "state": state})


class NewKey(BaseModel):
    """A key that was just made."""

    model_config = _example(
        {"key_id": "key_1f0c8d2b9e3a4c5d", "tenant_id": "acme", "secret": "cvg_3eb2f06d76_…",
         "expires_at": "2026-12-30T09:00:00Z"}
    )  # fmt: skip

    key_id: str
    tenant_id: str
    secret: str = Field(description="To be sent as x-api-key; shown this once")
    expires_at: datetime


class TenantKeys(BaseModel):
    """A tenant's keys, the newest first."""

    model_config = _example({"keys": [_KEY]})

    keys: list[Key]


class Alert(BaseModel):
    """A lasting condition that somebody should know of."""

    model_config = _example(dict(_ALERT))

    fingerprint: str
    kind: str
    severity: str
    title: str
    happened: str
    done: str
    next_step: str
    runbook: str
    tenant_id: str | None
    pipeline_id: str | None
    partition: str | None
    run_id: str | None
    count: int
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None

    @classmethod
    def of(cls, incident: Incident) -> Self:
        fields = {name: getattr(incident, name) for name in cls.model_fields if name != "pipeline_id"}
        return cls(**fields, pipeline_id=incident.pipeline)


class Alerts(BaseModel):
    """Incidents, the oldest first."""

    model_config = _example({"alerts": [_ALERT]})

    alerts: list[Alert]


class Acknowledgement(BaseModel):
    """Who works on it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"by": "anna"}]})

    by: Who = "admin"
