"""Published days that were made by an older definition than the one that is served."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from convergence_assets.control import publications
from convergence_assets.control.change_log import DEFINITION, states_of_tenant
from convergence_assets.control.definitions import definition_contents
from convergence_assets.control.publications import Publication, publications_of
from convergence_assets.control.store import ControlStore
from convergence_assets.tenancy.definition import Definition, Part, definition_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline

Why = Part | Literal["unknown"]
"""A part in which the definitions differ; `unknown` where the one of the publication was not kept."""


@dataclass(frozen=True)
class StaleDay:
    """A table's published day, and in what the definition that made it differs from the one that is served."""

    tenant_id: str
    pipeline: str
    table: str
    day: date
    differs: tuple[Why, ...]
    rows: int

    @property
    def is_text_alone(self) -> bool:
        """Whether only a comment, a description or a layout differs: its rows would be the same."""
        return self.differs == ("text",)


def stale_days(store: ControlStore, tenant: Tenant) -> Sequence[StaleDay]:
    """Those of a tenant by pipeline, table and day; none of tables that it does not make any more."""
    steps = {step.table: (pipeline, step) for pipeline in tenant.pipelines for step in pipeline.steps}
    starts = _starts(tenant)
    with store.read() as connection:
        published = [
            one for one in publications_of(connection, tenant.tenant_id)
            if one.table in steps and one.day >= starts[one.table]
        ]  # fmt: skip
        versions = {one.definition for one in published if one.definition}
        contents = definition_contents(connection, versions)
        unknown = any(one.definition not in contents for one in published)
        states = states_of_tenant(connection, tenant.tenant_id) if unknown else []
    made_by = {version: Definition.stored(content) for version, content in contents.items()}
    served = {table: definition_of(tenant, step) for table, (_, step) in steps.items()}

    def differs(one: Publication) -> tuple[Why, ...]:
        definition = made_by.get(one.definition or "")
        if definition is not None:
            return definition.differences(served[one.table])
        # A release that kept no definition noted what was loaded when: the same text is the same definition.
        name = f"{DEFINITION} {one.pipeline}/{one.table}"
        loaded = [state.get(name) for moment, state in states if moment <= one.published_at]
        return () if loaded and loaded[-1] == served[one.table].text else ("unknown",)

    stale = (
        StaleDay(tenant.tenant_id, steps[one.table][0].name, one.table, one.day, why, one.rows)
        for one in published
        if (why := differs(one))
    )
    return sorted(stale, key=lambda one: (one.pipeline, one.table, one.day))


def stale_counts(store: ControlStore, tenant: Tenant) -> Mapping[str, int]:
    """How many days of its tables are to be made again, by pipeline: those of each table counted."""
    with store.read() as connection:
        counted = publications.days_by_definition(connection, tenant.tenant_id, _starts(tenant))
        contents = definition_contents(connection, {version for _, version in counted if version})
    counts: dict[str, int] = {}
    if any(version not in contents for _, version in counted):
        for one in stale_days(store, tenant):
            counts[one.pipeline] = counts.get(one.pipeline, 0) + (not one.is_text_alone)
        return counts
    for pipeline in tenant.pipelines:
        for step in pipeline.steps:
            served = definition_of(tenant, step)
            for (table, version), days in counted.items():
                differs = Definition.stored(contents[version or ""]).differences(served) if table == step.table else ()
                counts[pipeline.name] = counts.get(pipeline.name, 0) + (days if differs not in ((), ("text",)) else 0)
    return counts


def _starts(tenant: Tenant) -> Mapping[str, date]:
    """By table the first day that its pipeline makes: earlier ones stay as they are."""
    return {step.table: pipeline.start_date for pipeline in tenant.pipelines for step in pipeline.steps}


@dataclass(frozen=True)
class StalePipeline:
    """A pipeline with the days to make again, ascending, and the rows that are published of them."""

    tenant: Tenant
    pipeline: TenantPipeline
    days: tuple[date, ...]
    rows: int


def stale_pipelines(tenant: Tenant, stale: Sequence[StaleDay]) -> Iterator[StalePipeline]:
    """What has to be made again, each pipeline after those that it reads; text alone is no reason."""
    by_pipeline: dict[str, list[StaleDay]] = {}
    for one in stale:
        if not one.is_text_alone:
            by_pipeline.setdefault(one.pipeline, []).append(one)
    for pipeline in _in_order(tenant):
        days = {one.day for one in by_pipeline.get(pipeline.name, ()) if one.day >= pipeline.start_date}
        if days:
            rows = sum(one.rows for one in by_pipeline[pipeline.name] if one.day in days)
            yield StalePipeline(tenant, pipeline, tuple(sorted(days)), rows)


def _in_order(tenant: Tenant) -> Sequence[TenantPipeline]:
    """The tenant's pipelines, those first that others read; pipelines that read one another stay as they are."""
    waiting, ordered = list(tenant.pipelines), list[TenantPipeline]()
    makes: Mapping[str, str] = {step.table: p.name for p in tenant.pipelines for step in p.steps}
    while waiting:
        names = {pipeline.name for pipeline in waiting}
        ready = [p for p in waiting if not (_read_by(p.steps, makes) - {p.name}) & names] or waiting
        ordered += ready
        waiting = [pipeline for pipeline in waiting if pipeline not in ready]
    return ordered


def _read_by(steps: Sequence[Step], makes: Mapping[str, str]) -> set[str]:
    return {makes[name] for step in steps for name in step.upstream}
