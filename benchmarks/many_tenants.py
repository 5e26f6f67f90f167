"""A folder of N tenants, each with six tables and twenty-four checks of a pipeline of its own."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import yaml

from benchmarks.project import TENANTS

COLUMNS: Sequence[dict[str, str]] = (
    {"name": "usage_date", "type": "DATE", "mode": "REQUIRED", "description": "Day of the usage."},
    {"name": "project_id", "type": "STRING", "description": "Project that used it."},
    {"name": "service", "type": "STRING", "description": "Service that was used."},
    {"name": "cost", "type": "NUMERIC", "description": "Cost of the usage."},
    {"name": "credits", "type": "NUMERIC", "description": "Credits on it."},
    {"name": "currency", "type": "STRING", "description": "ISO 4217."},
)
TABLES = ("bill_lines", "priced_lines", "by_project", "by_service", "by_day", "report")
SELECT = """SELECT
  usage_date,
  project_id,
  service,
  SUM(cost) AS cost,
  SUM(credits) AS credits,
  ANY_VALUE(currency) AS currency
FROM {source}
WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
GROUP BY usage_date, project_id, service
"""


def write_tenants(folder: Path, count: int) -> None:
    """Six steps that read one another, two structural checks and two expectations each."""
    (folder / "_defaults.yaml").write_text((TENANTS / "_defaults.yaml").read_text())
    for number in range(count):
        name = f"tenant{number:04d}"
        content = {
            "tenant_id": name,
            "display_name": f"Tenant {number}",
            "timezone": ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")[number % 4],
            "paused": True,  # nobody asks for their days
            "owners": [f"owner@{name}.example"],
            "pipelines": [
                {"template": "chargeback", "start_date": date(2026, 10, 1), "with": {"export": f"{name}_in.bills"}}
            ],
        }
        write(folder / name / "tenant.yaml", content)
        pipeline = folder / name / "pipelines" / "chargeback"
        write(pipeline / "pipeline.yaml", _pipeline())
        for table, source in zip(TABLES, ("bills", *TABLES), strict=False):
            (pipeline / f"{table}.sql").write_text(SELECT.format(source=source))
            write(pipeline / "expectations" / f"{table}.yaml", _suite())


def write(file: Path, content: object) -> None:
    """As YAML, its keys in the order in which they are said, and nothing by reference."""
    dumper = yaml.SafeDumper
    dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.dump(content, Dumper=dumper, sort_keys=False))


def _pipeline() -> dict[str, object]:
    return {
        "name": "chargeback",
        "description": "What every project spent.",
        "parameters": {"export": {"type": "table", "description": "The bills."}},
        "sources": {
            "bills": {
                "table": "{{ export }}",
                "description": "Bills as they arrive.",
                "partition_column": "usage_date",
                "columns": list(COLUMNS),
            }
        },
        "steps": [
            {
                "table": table,
                "kind": "bigquery",
                "description": "What every project spent.",
                "when_empty": "fail",
                "partition_column": "usage_date",
                "clustering": ["project_id"],
                "columns": list(COLUMNS),
            }
            for table in TABLES
        ],
    }


def _suite() -> dict[str, object]:
    return {
        "expectations": [
            {
                "type": "expect_column_values_to_not_be_null",
                "kwargs": {"column": "project_id"},
                "severity": "critical",
                "meta": {"name": "project_is_given", "reason": "A cost without a project cannot be charged."},
            },
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "cost", "min_value": 0},
                "severity": "warning",
                "meta": {"name": "cost_is_not_negative", "reason": "Credits have a column of their own."},
            },
        ]
    }
