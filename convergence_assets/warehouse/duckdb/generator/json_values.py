"""Functions of JSON, and of STRINGs that hold it."""

from convergence_assets.warehouse.duckdb.generator.calls import Entries
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported

MACROS: tuple[str, ...] = ()


def add_entries(entries: Entries) -> None:
    entries.add("to_json_string", "STRING", "bq_to_json_string({0})")


def json_field(json: str, name: str) -> str:
    """The field of a JSON value that `json.name` means."""
    raise Unsupported("a JSON value's field has no form on the embedded engine", "use JSON_VALUE")
