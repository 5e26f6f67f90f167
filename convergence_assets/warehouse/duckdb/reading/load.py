"""One file into a table: every row, or an error that names the first few values that do not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.duckdb.reading import grammar
from convergence_assets.warehouse.duckdb.reading.casting import Casts, Place, problem_parts
from convergence_assets.warehouse.duckdb.reading.delimited import DelimitedFile
from convergence_assets.warehouse.duckdb.reading.json_lines import JsonLinesFile
from convergence_assets.warehouse.duckdb.reading.local import named, plain
from convergence_assets.warehouse.duckdb.reading.names import match
from convergence_assets.warehouse.duckdb.reading.notes import Notes
from convergence_assets.warehouse.duckdb.reading.parquet import ParquetFile
from convergence_assets.warehouse.duckdb.reading.source import Source
from convergence_assets.warehouse.duckdb.rows import partition_literal
from convergence_assets.warehouse.errors import InvalidQuery, SchemaMismatch, UnreadableFile
from convergence_assets.warehouse.interface import FileRules, SourceFile
from convergence_assets.warehouse.schema import Column, TableSchema

SHOWN = 3
"""So many values, or lines, an error names."""
_ROW = quoted("the file's row")


@dataclass(frozen=True)
class _Load:
    """One opened file, the columns that it brings and the SQL over them."""

    engine: Engine
    file: SourceFile
    source: Source
    columns: Mapping[str, Column]
    rules: FileRules
    timeout_seconds: float | None

    def prepared(self, casts: Casts) -> str:
        """The inner SELECT: what each column's grammar reads, by the column's declared name."""
        relation = self.source.relation(self.columns)
        taken = {name: self.source.taken(name) for name in self.columns}
        values = [
            f"{casts.prepared(column, taken[name][1], taken[name][0])} AS {quoted(column.name)}"
            for name, column in self.columns.items()
        ]
        return f"SELECT {', '.join(values)}, {self.source.row} AS {_ROW} FROM {relation} AS given"

    def problems(self, shown: int) -> tuple[list[str], int]:
        """The first few values that do not fit, and how many there are."""
        casts = Casts(self.rules.rounded)
        inner = self.prepared(casts)
        each = [casts.problem(c, self.source.taken(name)[1], quoted(c.name)) for name, c in self.columns.items()]
        problem_list = f"list_filter([{', '.join(each)}], lambda problem: problem IS NOT NULL)"
        number = self.engine.run(f"SELECT coalesce(sum(len({problem_list})), 0) FROM ({inner}) AS prepared")[0][0]
        inner = self.prepared(casts)
        rows = f"SELECT {_ROW} AS row, unnest({problem_list}) AS problem FROM ({inner}) AS prepared"
        first = self.engine.run(f"SELECT row, problem FROM ({rows}) ORDER BY row LIMIT {shown}")
        ends = self.source.lines([row for row, _ in first])
        texts = []
        for row, problem in first:
            place, text = problem_parts(problem)
            where = f"{named(self.file)}:{ends.get(row, row)} {casts.places[place].path}"
            texts.append(f"{where}: {self._sentence(casts.places[place], text)}")
        return texts, int(number)

    def _sentence(self, place: Place, text: str | None) -> str:
        column = place.column
        if text is None:
            return f"no value; expected {_expected(column)}"
        return f"{self._shown(place.path, text)}; expected {_expected(column)}{_advice(column, text)}"

    def _shown(self, path: str, text: str) -> str:
        parts = path.lower().split(".")
        if any(".".join(parts[: at + 1]) in self.rules.sensitive for at in range(len(parts))):
            return "(a sensitive value)"
        flat = " ".join(text.split()) if text.strip() else repr(text)
        return flat if len(flat) <= 80 else f"{flat[:80]}…"


def load_file(
    engine: Engine,
    table: str,
    schema: TableSchema,
    file: SourceFile,
    rules: FileRules,
    notes: Notes,
    *,
    exact: bool,
    timeout_seconds: float | None = None,
) -> None:
    """INSERT a file's rows into `table` (quoted); where `exact`, a column that is not declared is refused.

    The partition column is filled from the file's partition or from `ingestion_time_from` where the schema has it;
    a row without what it is filled from is refused. Raises `UnreadableFile`.
    """
    filled = _filled_partition(schema, file)
    needed = {schema.partition_column, schema.ingestion_time_from}
    columns = [replace(c, mode="REQUIRED") if c.name in needed else c for c in schema.columns if c.name not in filled]
    with plain(file, engine.spill_folder) as path:
        source = _opened(engine, file, path, columns)
        if source.is_empty:
            return
        matched = match(source.where, columns, source.keys, rules, exact=exact)
        filled |= {c.name: "[]" for c in columns if c.mode == "REPEATED" and c.name not in matched.spelled}
        brought = {matched.spelled[c.name]: c for c in columns if c.name in matched.spelled}
        load = _Load(engine, file, source, brought, rules, timeout_seconds)
        _insert(load, table, filled)
        notes.ignored(matched.ignored)
        _note_rounding(load, notes)


def _opened(engine: Engine, file: SourceFile, path: Path, columns: Sequence[Column]) -> Source:
    if file.format == "parquet":
        return ParquetFile(engine, file, path)
    if file.format == "jsonl":
        return JsonLinesFile(engine, file, path, columns)
    return DelimitedFile(engine, file, path, columns)


def _insert(load: _Load, table: str, filled: Mapping[str, str]) -> None:
    casts = Casts(load.rules.rounded)
    try:
        inner = load.prepared(casts)
        values = ", ".join(
            f"{casts.value(c, load.source.taken(name)[1], quoted(c.name))} AS {quoted(c.name)}"
            for name, c in load.columns.items()
        )
        names = [quoted(c.name) for c in load.columns.values()]
        targets, selected = [*names, *map(quoted, filled)], [*names, *filled.values()]
        load.engine.run(
            f"INSERT INTO {table} ({', '.join(targets)}) SELECT {', '.join(selected)} "
            f"FROM (SELECT {values} FROM ({inner}) AS prepared) AS read",
            timeout_seconds=load.timeout_seconds,
        )
    except (InvalidQuery, SchemaMismatch) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(_explained(load, error)) from error


def _explained(load: _Load, error: Exception) -> str:
    structural = load.source.explained(str(error))
    if structural:
        return structural
    with load.engine.in_order():
        try:
            texts, number = load.problems(SHOWN)
        except InvalidQuery as other:
            texts, number = [], 0
            error = other
    if not texts:
        return load.source.explained(str(error)) or f"{named(load.file)} does not fit the declared columns: {error}"
    more = number - len(texts)
    return "\n".join(texts + ([f"and {more} more value{'s' if more > 1 else ''}"] if more else []))


def _note_rounding(load: _Load, notes: Notes) -> None:
    for path in sorted(load.rules.rounded):
        top = next(((n, c) for n, c in load.columns.items() if c.name.lower() == path.split(".")[0]), None)
        if top is None:
            continue
        name, column = top
        casts = Casts(frozenset({path}))
        inner = load.prepared(casts)
        rounds = casts.rounding(column, load.source.taken(name)[1], quoted(column.name))
        text = f"left(CAST({quoted(column.name)} AS VARCHAR), 80)"
        rows = f"SELECT {rounds} AS number, {text} AS text FROM ({inner}) AS prepared"
        number = int(load.engine.run(f"SELECT coalesce(sum(number), 0) FROM ({rows})")[0][0])
        if number:
            hidden = path in load.rules.sensitive or column.name.lower() in load.rules.sensitive
            first = load.engine.run(f"SELECT text FROM ({rows}) WHERE number > 0 LIMIT {0 if hidden else SHOWN}")
            notes.rounded(path, number, [text for (text,) in first])


def _filled_partition(schema: TableSchema, file: SourceFile) -> dict[str, str]:
    column = schema.partition_column
    if column and schema.ingestion_time_from:
        return {column: f"date_trunc('day', {quoted(schema.ingestion_time_from)})"}
    if column and file.partition:
        return {column: partition_literal(file.partition)}
    return {}


def _expected(column: Column) -> str:
    kind = "an object" if column.type == "RECORD" else grammar.EXPECTED.get(column.type, "")
    if column.mode == "REPEATED":
        kind = f"an array, each element {kind}"
    required = ", REQUIRED" if column.mode == "REQUIRED" else ""
    return f"{kind} ({column.type}{required})"


def _advice(column: Column, text: str) -> str:
    """What helps a number that only has too many decimals."""
    places = grammar.PLACES.get(column.type)
    try:
        exponent = Decimal(text).normalize().as_tuple().exponent
    except InvalidOperation:
        return ""
    if places is None or not isinstance(exponent, int) or -exponent <= places:
        return ""
    wider = "declare it BIGNUMERIC or say " if column.type == "NUMERIC" else "say "
    return f"; {wider}`round: half_even` on the column"
