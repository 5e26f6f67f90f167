"""All scalar functions and operators: one entry for each function and types of arguments."""

from convergence_assets.warehouse.duckdb.generator import (
    arrays,
    conditions,
    dates,
    json_values,
    numbers,
    string_functions,
)
from convergence_assets.warehouse.duckdb.generator.calls import Entries

SCALAR = Entries()
for _module in (conditions, numbers, string_functions, dates, arrays, json_values):
    _module.add_entries(SCALAR)
