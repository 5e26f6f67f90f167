"""What decides the rows of a table, by content, so that two versions of it can be compared part by part."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from convergence_assets.pipelines.models import BigQueryStep, ColumnSpec, FilesStep
from convergence_assets.pipelines.sql_content import sql_content
from convergence_assets.pipelines.suites import UNEXPECTED_ROWS, check_names
from convergence_assets.tenancy.tenant import Step, Tenant

Part = Literal["sql", "schema", "suite", "parameters", "sources", "text"]
"""What may differ between two definitions; `text` alone is a comment, a description or a layout."""
MAKE_ROWS: frozenset[Part] = frozenset({"sql", "schema", "parameters", "sources"})
"""The parts on which a table's rows depend; a suite decides whether they are published."""


@dataclass(frozen=True)
class Definition:
    """A table's definition: values are hashes, but for columns, which have their type and mode.

    `money` and `currency` are the columns that the table's `money` names; `text` is the hash of all that was written,
    `number` the step's `version`.
    """

    sql: str
    columns: Mapping[str, str]
    partition_column: str
    checks: Mapping[str, str]
    parameters: Mapping[str, str]
    sources: Mapping[str, str]
    text: str
    money: str | None = None
    currency: str | None = None
    number: int = 1

    @cached_property
    def content(self) -> str:
        """As it is stored: one JSON object; a first version has the content that it had before there were versions."""
        fields = asdict(self)
        if self.number == 1:
            del fields["number"]
        return json.dumps(fields, sort_keys=True)

    @cached_property
    def version(self) -> str:
        """A hash of it."""
        return hashlib.sha256(self.content.encode()).hexdigest()[:16]

    @classmethod
    def stored(cls, content: str) -> "Definition":
        """The definition that `content` was made of; keys that this release does not know are left out."""
        stored: dict[str, Any] = json.loads(content)
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})

    def differences(self, other: "Definition") -> tuple[Part, ...]:
        """The parts in which two definitions differ; `text` only where no other does."""
        pairs: dict[Part, tuple[object, object]] = {
            "sql": (self.sql, other.sql),
            "schema": (self._shape, other._shape),
            "suite": (self.checks, other.checks),
            "parameters": (self.parameters, other.parameters),
            "sources": (self.sources, other.sources),
        }
        if self.text == other.text:
            # Where all that was written is the same, another hash of it is another release's way to hash.
            pairs = {part: pair for part, pair in pairs.items() if part in ("parameters", "sources")}
        differ = tuple(part for part, (mine, others) in pairs.items() if mine != others)
        return differ or (("text",) if self.text != other.text else ())

    @property
    def _shape(self) -> tuple[object, ...]:
        return self.columns, self.partition_column, self.number

    def changed_checks(self, other: "Definition") -> tuple[str, ...]:
        """The checks that the two do not share, by name."""
        names = sorted({*self.checks, *other.checks})
        return tuple(name for name in names if self.checks.get(name) != other.checks.get(name))


def definition_of(tenant: Tenant, step: Step) -> Definition:
    """A step's definition as the tenant runs it."""
    spec, money = step.spec, step.spec.money
    queries = [str(e.kwargs.get("unexpected_rows_query")) for e in step.suite.expectations if e.type == UNEXPECTED_ROWS]
    bound = step.sql.parameters if step.sql else frozenset()
    used = {name for name in step.parameters if name in bound or any(f"@{name}" in query for query in queries)}
    return Definition(
        sql=sql_content(step.sql.text) if step.sql else _digest(_files(step, spec)),
        columns={column.name: _shape(column) for column in spec.columns},
        partition_column=spec.partition_column,
        checks=_checks(step),
        parameters={name: _digest(str(value)) for name, value in sorted(step.parameters.items()) if name in used}
        | {"timezone": tenant.timezone},
        sources={
            name: _digest([*source.tables, *(tenant.shares.get(table, "") for table in source.tables)])
            for name, source in sorted(step.sources.items())
        },
        text=step.definition_hash,
        money=money.column if money else None,
        currency=money.currency_column if money else None,
        number=spec.version,
    )


def _files(step: Step, spec: BigQueryStep | FilesStep) -> list[Any]:
    assert isinstance(spec, FilesStep)
    rules = [(c.name, c.optional, c.round) for c in spec.columns]
    return [(step.path or "").replace(step.folder or "\0", "landing"), spec.format, spec.partition_from_path,
            spec.delimiter, rules]  # fmt: skip


def _shape(column: ColumnSpec) -> str:
    inner = f"<{', '.join(f'{field.name} {_shape(field)}' for field in column.fields)}>" if column.fields else ""
    return f"{column.type}{inner} {column.mode}"


def _checks(step: Step) -> dict[str, str]:
    checks = {"partition_is_not_empty": _digest(step.spec.when_empty)}
    for name, spec in zip(check_names(step.suite), step.suite.expectations, strict=True):
        arguments = dict(spec.kwargs)
        if spec.type == UNEXPECTED_ROWS:
            arguments["unexpected_rows_query"] = sql_content(str(arguments.get("unexpected_rows_query")))
        checks[name] = _digest([spec.type, arguments, spec.severity])
    return checks


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
