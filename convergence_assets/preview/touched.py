"""Which tables a change touches: those whose definition differs, and those that are made of their rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from convergence_assets.tenancy.definition import MAKE_ROWS, Definition, Part, definition_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline


@dataclass(frozen=True)
class TouchedTable:
    """A step that a change touches. `parts` are what differs from `served` (None: it is not known, or no day was ever
    published, as `is_published` says), and empty where it only reads the touched tables in `reads`; `checks` are those
    that differ, by name."""

    pipeline: TenantPipeline
    step: Step
    served: Definition | None
    parts: tuple[Part, ...]
    checks: tuple[str, ...]
    reads: tuple[str, ...]
    is_published: bool = True

    @property
    def kind(self) -> tuple[str, ...]:
        """What tables of several tenants have in common where one change touches them alike."""
        return self.pipeline.name, self.step.table, *self.parts, *self.checks


def touched_tables(
    tenant: Tenant, served: Mapping[str, Definition], published: Collection[str]
) -> Sequence[TouchedTable]:
    """The touched tables of a tenant, each after those that it reads; `served` are definitions by table, `published`
    the tables of which days are published.

    What differs in text alone is not touched; a table whose suite alone differs has the same rows as before, so that
    what reads it is not touched.
    """
    touched: dict[str, TouchedTable] = {}
    changes_rows: set[str] = set()
    for pipeline, step in steps_in_order(tenant):
        before, now = served.get(step.table), definition_of(tenant, step)
        parts: tuple[Part, ...] = before.differences(now) if before else ()
        parts = () if parts == ("text",) else parts
        reads = tuple(name for name in step.upstream if name in changes_rows)
        if before is None or parts or reads:
            checks = before.changed_checks(now) if before else ()
            touched[step.table] = TouchedTable(pipeline, step, before, parts, checks, reads, step.table in published)
        if before is None or reads or MAKE_ROWS.intersection(parts):
            changes_rows.add(step.table)
    return list(touched.values())


def steps_in_order(tenant: Tenant) -> Sequence[tuple[TenantPipeline, Step]]:
    """All steps, each after those of any pipeline that it reads."""
    waiting = {step.table: (pipeline, step) for pipeline in tenant.pipelines for step in pipeline.steps}
    ordered: list[tuple[TenantPipeline, Step]] = []
    while waiting:
        ready = [name for name, (_, step) in waiting.items() if not waiting.keys() & set(step.upstream)]
        ordered += [waiting.pop(name) for name in ready]
    return ordered
