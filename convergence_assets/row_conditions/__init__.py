"""Row conditions of expectations: read into a small tree, held against the table's columns, never evaluated as code."""

from convergence_assets.row_conditions.kinds import fitted
from convergence_assets.row_conditions.serialised import read_condition
from convergence_assets.row_conditions.tree import (
    All,
    Any,
    Column,
    Comparison,
    Condition,
    ConditionError,
    In,
    Missing,
    Not,
    columns_of,
)

__all__ = [
    "All",
    "Any",
    "Column",
    "Comparison",
    "Condition",
    "ConditionError",
    "In",
    "Missing",
    "Not",
    "columns_of",
    "fitted",
    "read_condition",
]
