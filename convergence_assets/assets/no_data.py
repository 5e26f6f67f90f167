"""Days without rows, which are not days whose rows are wrong: they have an error class of their own."""

from collections.abc import Mapping, Sequence
from datetime import date

from convergence_assets.assets.files import shown
from convergence_assets.assets.structure import NOT_EMPTY
from convergence_assets.pipelines.models import FilesStep
from convergence_assets.tenancy.tenant import Step

NO_DATA = "no_data"
"""The error class of a step that published not all of its partitions, because they have no rows (yet)."""


def has_no_data(stopped_by: Sequence[str]) -> bool:
    """Whether a day was stopped for having no rows, and for nothing else."""
    return tuple(stopped_by) == (NOT_EMPTY,)


def places(step: Step, day: date) -> str:
    """Where a step looked for the rows of a day: its files, its sources, or the tables that it reads."""
    if isinstance(step.spec, FilesStep):
        return f"files {shown((step.path or step.spec.path).replace('{date}', day.isoformat()))}"
    if step.sources:
        return ", ".join(f"source {table}" for source in step.sources.values() for table in source.tables)
    return ", ".join(f"table {name}" for name in step.upstream) or f"the SQL of {step.table}"


def why_no_data(step: Step, stopped: Mapping[date, Sequence[str]]) -> str:
    """The sentence for days without rows, with the places where they were looked for."""
    days = sorted(day for day, names in stopped.items() if has_no_data(names))
    shown = ", ".join(str(day) for day in days[:5]) + (f" and {len(days) - 5} more days" if len(days) > 5 else "")
    return f"no rows yet for {shown} in {places(step, days[0])}"
