"""Amounts as text."""

from sqlglot import exp
from sqlmesh import macro


@macro()
def amount_text(evaluator, amount: exp.Expression) -> str:
    """Whole units and billionths apart."""
    text = amount.sql("duckdb")
    whole = f"CAST({text} AS BIGINT)"
    return f"{whole} || '.' || CAST(({text} - {whole}) * 1000000000 AS BIGINT)"
