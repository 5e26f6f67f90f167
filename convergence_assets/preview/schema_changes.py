"""How a table's declared columns differ from those it has, and whether an existing table takes them."""

from collections.abc import Mapping
from dataclasses import dataclass

from convergence_assets.tenancy.definition import Definition


@dataclass(frozen=True)
class SchemaChanges:
    """In words; `is_additive` where all of them are new columns that may be NULL, which a run adds by itself."""

    described: tuple[str, ...]
    is_additive: bool


def schema_changes(before: Definition, now: Definition) -> SchemaChanges:
    """What differs between two definitions."""
    old, new = _by_lower_name(before.columns), _by_lower_name(now.columns)
    added = [name for name in new if name not in old]
    described = [f"new column {new[name][0]} {new[name][1]}" for name in added]
    described += [f"column {old[name][0]} is gone" for name in old if name not in new]
    changed = [name for name in new if name in old and new[name][1] != old[name][1]]
    described += [f"column {new[name][0]}: {old[name][1]} -> {new[name][1]}" for name in changed]
    if before.partition_column != now.partition_column:
        described.append(f"partition column: {before.partition_column} -> {now.partition_column}")
    only_added = len(described) == len(added) and not any(new[name][1].endswith(" REQUIRED") for name in added)
    return SchemaChanges(tuple(described), only_added)


def _by_lower_name(columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {name.lower(): (name, shape) for name, shape in columns.items()}
