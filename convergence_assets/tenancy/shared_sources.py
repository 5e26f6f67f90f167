"""Sources that the operator shares out among tenants, each of which reads only its own rows."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.sharing import SharedSource, place_of, shared_sources
from convergence_assets.tenancy.tenant import Source, Step, TenantPipeline
from convergence_assets.tenancy.tenant_file import DEFAULTS_FILE, Defaults


def apply_shares(
    tenant_id: str, pipelines: Sequence[TenantPipeline], defaults: Defaults, own_project: str | None
) -> tuple[tuple[TenantPipeline, ...], dict[str, str], list[Problem]]:
    """The pipelines, with the rows that each step reads in its definition; the conditions by table as written; and
    a problem for each source of which no row is the tenant's."""
    shared = shared_sources(defaults, own_project)
    if not shared:
        return tuple(pipelines), {}, []
    access = defaults.access_of(tenant_id)
    conditions: dict[str, str] = {}
    problems: list[Problem] = []
    for source in (source for pipeline in pipelines for source in pipeline.sources):
        for name in source.tables:
            shared_source = shared.get(place_of(name, own_project))
            if shared_source is None or access.gives(name):
                continue
            if tenant_id in shared_source.shares:
                conditions[name] = shared_source.condition(tenant_id)
                problems += _lacking(shared_source, source)
            else:
                expected = f"the operator's line in {DEFAULTS_FILE}: shared_sources: {{{name}: {{{tenant_id}: ...}}}}"
                message = f"{name} is shared out, and no row of it is this tenant's"
                problems.append(replace(source.declared, message=message, expected=expected, reaches_out=True))
    return tuple(_with_share_conditions(pipeline, conditions) for pipeline in pipelines), conditions, problems


def _lacking(shared: SharedSource, source: Source) -> Iterator[Problem]:
    declared = {column.name.lower() for column in source.spec.columns}
    for name in shared.columns:
        if name not in declared:
            message = f"{shared.table} is shared out by its column {name}, which this source does not declare"
            yield replace(source.declared, message=message)


def _with_share_conditions(pipeline: TenantPipeline, conditions: Mapping[str, str]) -> TenantPipeline:
    def with_conditions(step: Step) -> Step:
        read = [conditions[name] for s in step.sources.values() for name in s.tables if name in conditions]
        if not read:
            return step
        digest = hashlib.sha256("\n".join([step.definition_hash, *read]).encode()).hexdigest()
        return replace(step, definition_hash=digest[: len(step.definition_hash)])

    return replace(pipeline, steps=tuple(with_conditions(step) for step in pipeline.steps))
