"""What onboarding over HTTP takes and answers with. Moments are UTC."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from convergence_assets.api.admin_models import Who
from convergence_assets.api.errors import Problem
from convergence_assets.pipelines.models import Name
from convergence_assets.tenant_lifecycle import onboarding_request
from convergence_assets.tenant_lifecycle.onboarding import Onboarded, Onboarding
from convergence_assets.tenant_lifecycle.onboarding_request import TenantSettings

_WANTED: JsonDict = {
    "tenant_id": "hooli", "display_name": "Hooli", "timezone": "America/Los_Angeles", "templates": ["gcp_billing"],
    "with": {"gcp_billing": {"export_table": "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"}},
    "start_date": "2026-10-01", "owners": ["finops@hooli.example"],
    "alert_routes": ["critical,warning=${env:HOOLI__SLACK}"],
}  # fmt: skip
_SCHEDULE: JsonDict = {
    "pipeline_id": "gcp_billing", "schedule": "0 6 * * *", "timezone": "America/Los_Angeles",
    "first_day": "2026-10-01", "first_due_at": "2026-10-02T13:00:00Z", "due": 3,
}  # fmt: skip
_PLAN: JsonDict = {
    "tenant_id": "hooli", "file": "tenants/hooli/tenant.yaml",
    "content": "tenant_id: hooli # equals the folder's name\n…", "grants": {},
    "account_grants": [], "dataset": "hooli", "project": None,
    "location": None, "tables": ["hooli.gcp_cost_daily"], "assets": ["hooli/gcp_billing/gcp_cost_daily"],
    "schedules": [_SCHEDULE], "bytes_a_day": None,
}  # fmt: skip
Text = Annotated[str, Field(min_length=1, max_length=300)]
Value = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=2000)]


class WantedTenant(BaseModel):
    """A tenant's settings; what is left out comes from the shared defaults, or from its existing file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, json_schema_extra={"examples": [_WANTED]})

    tenant_id: Name = Field(description="Becomes its folder's name, and its dataset's unless one is named")
    display_name: Text | None = None
    timezone: Text | None = Field(None, description="An IANA name; a partition is a day there")
    templates: list[Name] = Field([], max_length=20, description="The pipelines it runs")
    with_: dict[Name, dict[Text, Value]] = Field(
        {}, alias="with", max_length=20, description="By template the values of its parameters"
    )
    start_date: date | None = Field(None, description="The first day that is made")
    schedule: Text | None = Field(None, description="Cron in its timezone")
    plan: Text | None = Field(None, description="How much it may run, by the name of a shared plan")
    location: Text | None = Field(None, description="BigQuery location of its dataset")
    project: Text | None = Field(None, description="Google Cloud project of its dataset")
    dataset: Text | None = Field(None, description="The tenant id where not given")
    owners: list[Text] = Field([], max_length=20, description="E-mail addresses, or team:name")
    alert_routes: list[Text] = Field(
        [], max_length=20, description="Severities and the variable with the URL: `critical,warning=${env:NAME}`"
    )
    shared_projects: list[Text] = Field(
        [], max_length=200, description="Of tables that other tenants read too: projects whose rows are its"
    )
    shared_labels: dict[Text, Text] = Field({}, max_length=20, description="The same by labels; a row has to fit all")
    only_plan: bool = Field(False, description="Answer with what would be made, and change nothing")
    created_by: Who = "admin"

    def tenant_settings(self) -> TenantSettings:
        """Raises ValueError, which repeats no address, and for a parameter of a template that is not requested."""
        requested = set(self.templates)
        if requested and (unknown := sorted(set(self.with_) - requested)):
            raise ValueError(f"with: no template {unknown[0]} is asked for")
        try:
            routes = tuple(onboarding_request.route(text) for text in self.alert_routes)
        except ValueError as error:
            raise ValueError(f"alert_routes: {error}") from None
        return TenantSettings(
            self.tenant_id, self.display_name, self.timezone, tuple(dict.fromkeys(self.templates)), self.with_,
            self.start_date, self.schedule, self.plan, self.location, self.project, self.dataset, tuple(self.owners),
            routes, tuple(self.shared_projects), self.shared_labels,
        )  # fmt: skip


class PlannedSchedule(BaseModel):
    """When a pipeline's days are requested; `due` of them are due already."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCHEDULE]})

    pipeline_id: str
    schedule: str
    timezone: str
    first_day: date
    first_due_at: datetime
    due: int


class PlannedTenant(BaseModel):
    """What an onboarding makes; `content` is the tenant's file."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PLAN]})

    tenant_id: str
    file: str
    content: str
    grants: dict[str, dict[str, Any]] = Field(description="What is written into _defaults.yaml: by its key, by tenant")
    account_grants: list[str] = Field(description="Commands that allow its service account what it needs on BigQuery")
    dataset: str
    project: str | None
    location: str | None
    tables: list[str]
    assets: list[str]
    schedules: list[PlannedSchedule]
    bytes_a_day: int | None = Field(description="What its queries read for one day; null where that is not counted")

    @classmethod
    def of(cls, planned: Onboarding) -> Self:
        fields = planned.described()
        schedules = [schedule | {"pipeline_id": schedule.pop("pipeline")} for schedule in fields.pop("schedules")]
        return cls(
            tenant_id=fields.pop("tenant"), schedules=schedules, **{k: fields[k] for k in fields if k != "stands"}
        )


class OnboardedTenant(BaseModel):
    """What was done. The key's secret is in this answer and nowhere else."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "outcome": "onboarded", "plan": _PLAN, "done": ["wrote tenants/hooli/tenant.yaml"],
                    "secret": "cvg_3eb2f06d76_…", "next": ["run a day: convergence run hooli gcp_billing …"],
                }
            ]
        }
    )  # fmt: skip

    outcome: Literal["onboarded", "unchanged", "planned"]
    plan: PlannedTenant
    done: list[str] = Field(description="Each step that changed something; empty where all stood already")
    secret: str | None = Field(description="Of the tenant's first key, to be sent as x-api-key; shown this once")
    next: list[str] = Field(description="What is left to do")

    @classmethod
    def of(cls, planned: Onboarding, onboarded: Onboarded | None) -> Self:
        """`onboarded` is None where only a plan was requested."""
        plan = PlannedTenant.of(planned)
        if onboarded is None:
            return cls(outcome="planned", plan=plan, done=[], secret=None, next=[])
        outcome: Literal["onboarded", "unchanged"] = "onboarded" if onboarded.done else "unchanged"
        return cls(
            outcome=outcome,
            plan=plan,
            done=list(onboarded.done),
            secret=onboarded.secret,
            next=list(onboarded.next_steps),
        )


def _problem(**more: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [more]})


class NotOnboarded(Problem):
    """Why a tenant was not made. `file` and `content` are there where the file has to be committed by other means."""

    model_config = _problem(
        error="read_only", message="tenants/hooli/tenant.yaml: Read-only file system. Nothing was changed.",
        next="Commit the file there, then send the same request.", reasons=[], undone=[], left=[],
        file="tenants/hooli/tenant.yaml", content="tenant_id: hooli\n…",
    )  # fmt: skip

    reasons: list[str] = Field([], description="Every reason, each with the field or the line of the file")
    file: str | None = None
    content: str | None = None
    undone: list[str] = Field([], description="What a step that failed had made, and was taken back")
    left: list[str] = Field([], description="What could not be taken back, each with what to do about it")
