"""JSON Lines: one object a line, whose numbers keep their digits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.duckdb.reading.forms import MARKED, MARKED_JSON, Form
from convergence_assets.warehouse.duckdb.reading.json_numbers import MarkedAlready, numbers_as_texts
from convergence_assets.warehouse.duckdb.reading.local import lines, named
from convergence_assets.warehouse.duckdb.reading.names import Keys
from convergence_assets.warehouse.errors import InvalidQuery, UnreadableFile
from convergence_assets.warehouse.interface import SourceFile
from convergence_assets.warehouse.schema import Column

_LINE_LIMIT_BYTES = 100 * 1024 * 1024
_LEVEL = "\x1f"
_NO_OBJECT = "\x1e"
_KINDS = {
    "UBIGINT": "a number", "BIGINT": "a number", "DOUBLE": "a number", "VARCHAR": "a text or number",
    "BOOLEAN": "true or false", "OBJECT": "an object", "ARRAY": "an array", "NULL": "null",
}  # fmt: skip


class JsonLinesFile:
    """A file of JSON Lines; see `Source`."""

    row = "row_number() OVER ()"

    def __init__(self, engine: Engine, file: SourceFile, path: Path, columns: Sequence[Column]) -> None:
        self._engine, self._file, self._path = engine, file, path
        self._columns: Mapping[str, Column] = {}
        self._relation: str | None = None
        self.where = named(file)
        try:
            self.keys = self._read_keys(columns)
        except InvalidQuery as error:
            raise UnreadableFile(self.explained(str(error)) or f"{self.where}: is not JSON Lines") from error
        self.is_empty = not self.keys and not any(text.strip() for text in lines(path))

    def relation(self, columns: Mapping[str, Column]) -> str:
        if self._relation and self._columns == columns:
            return self._relation
        self._columns = columns
        converted = self._path.with_name("numbers.jsonl")
        try:
            numbers_as_texts(self._path, converted)
        except MarkedAlready as error:
            where = f"{named(self._file)}:{error.line}"
            raise UnreadableFile(f"{where}: a text holds U+FFFF, which is no character of Unicode") from None
        declared = ", ".join(f"{literal(name)}: {literal(_type(c))}" for name, c in columns.items())
        self._relation = (
            f"read_json({literal(str(converted))}, format = 'newline_delimited', auto_detect = false, "
            f"maximum_object_size = {_LINE_LIMIT_BYTES}, hive_partitioning = false, columns = {{{declared}}})"
        )
        return self._relation

    def taken(self, spelled: str) -> tuple[str, Form]:
        return quoted(spelled), _form(self._columns[spelled])

    def lines(self, rows: Sequence[int]) -> Mapping[int, int]:
        row_numbers, ends, number = set(rows), dict[int, int](), 0
        for line, text in enumerate(lines(self._path), 1):
            number += 1 if text.strip() else 0
            if number in row_numbers:
                ends.setdefault(number, line)
            if number >= max(row_numbers, default=0):
                break
        return ends

    def explained(self, message: str) -> str | None:
        other = re.search(r"in line (\d+): Expected (OBJECT|ARRAY), but got (\w+)", message)
        if other:
            expected = "an object (RECORD)" if other[2] == "OBJECT" else "an array (REPEATED)"
            line = next(iter(self.lines([int(other[1])]).values()), other[1])
            nested = ", ".join(c.name for c in self._columns.values() if c.type == "RECORD" or c.mode == "REPEATED")
            kind = _KINDS.get(other[3], other[3].lower())
            return f"{named(self._file)}:{line} one of {nested}: {kind}; expected {expected}"
        twice = re.search(r'in line (\d+): .* has duplicate key "(.*)"', message, re.DOTALL)
        if twice:
            line = next(iter(self.lines([int(twice[1])]).values()), twice[1])
            return f"{named(self._file)}:{line} {twice[2]}: the key stands twice in one object"
        # DuckDB 1.5 counts a malformed line from 2, and no blank ones.
        broken = re.search(r"Malformed JSON in file .*, at byte (\d+) in line (\d+): (.*?)(\. |$)", message)
        if broken:
            row = int(broken[2]) - 1
            line = next(iter(self.lines([row]).values()), row)
            if "UTF-8" in broken[3]:
                return f"{named(self._file)}:{line}: is not UTF-8; expected UTF-8 (Latin-1 must be converted)"
            return f"{named(self._file)}:{line}: is not JSON ({broken[3].strip('. ')}); expected one object a line"
        if "maximum_object_size" in message:
            return f"{named(self._file)}: a line is longer than 100 MB"
        return None

    def _read_keys(self, columns: Sequence[Column]) -> Keys:
        """Every key of every line, those inside declared RECORDs too."""
        names = self._distinct_keys(columns, {})
        lower = {c.name.lower(): c.name for c in columns}
        respelled = {lower[n.lower()]: n for n in names if n.lower() in lower and n != lower[n.lower()]}
        if any(c.type == "RECORD" and c.name in respelled for c in columns):
            return self._distinct_keys(columns, respelled)
        return names

    def _distinct_keys(self, columns: Sequence[Column], respelled: Mapping[str, str]) -> Keys:
        inside = [(respelled.get(c.name, c.name), c) for c in columns if c.type == "RECORD"]
        parts = ["json_keys(json)"]
        if inside:
            kinds = {True: '["JSON"]', False: '"JSON"'}
            structure = ", ".join(f'"{name}": {kinds[c.mode == "REPEATED"]}' for name, c in inside)
            parts += [_key_lists(c, f"struct_extract(nested, {literal(name)})", name) for name, c in inside]
            rows = f"SELECT json, from_json(json, {literal(f'{{{structure}}}')}) AS nested FROM {self._objects()}"
        else:
            rows = f"SELECT json FROM {self._objects()}"
        every = f"list_concat({', '.join(parts)})" if len(parts) > 1 else parts[0]
        an_object = "starts_with(CAST(json AS VARCHAR), '{') OR json_type(json) = 'OBJECT'"
        paths = self._engine.run(
            f"SELECT DISTINCT unnest(CASE WHEN {an_object} THEN {every} ELSE ['{_NO_OBJECT}'] END) FROM ({rows})"
        )
        keys: dict[str, dict[str, Keys]] = {}
        for (path,) in sorted(paths):
            if path == _NO_OBJECT:
                raise UnreadableFile(self._no_object())
            at: dict[str, object] = keys  # type: ignore[assignment]
            for name in path.split(_LEVEL):
                at = at.setdefault(name, {})  # type: ignore[assignment]
        return keys

    def _objects(self) -> str:
        return (
            f"read_ndjson_objects({literal(str(self._path))}, maximum_object_size = {_LINE_LIMIT_BYTES}, "
            f"hive_partitioning = false)"
        )

    def _no_object(self) -> str:
        for line, text in enumerate(lines(self._path), 1):
            bare = text.removeprefix(b"\xef\xbb\xbf").strip()
            if bare and not bare.startswith(b"{"):
                return f"{named(self._file)}:{line}: is no JSON object; expected one object a line"
        raise AssertionError("a line that is no object")


def _type(column: Column) -> str:
    """The engine's type of a column whose single values are texts."""
    kind = "JSON" if column.type == "JSON" else "VARCHAR"
    if column.type == "RECORD":
        kind = f"STRUCT({', '.join(f'{quoted(f.name)} {_type(f)}' for f in column.fields)})"
    return f"{kind}[]" if column.mode == "REPEATED" else kind


def _form(column: Column) -> Form:
    form = Form(MARKED_JSON if column.type == "JSON" else MARKED)
    if column.type == "RECORD":
        form = Form("STRUCT", members={f.name: _form(f) for f in column.fields})
    return Form("LIST", element=form) if column.mode == "REPEATED" else form


def _key_lists(column: Column, json_sql: str, path: str, depth: int = 0) -> str:
    """SQL of the keys in a RECORD, each after its path; `given` is JSON, or a list of it."""
    if column.mode == "REPEATED":
        element = f'"its r{depth}"'
        each = _key_lists(replace(column, mode="NULLABLE"), element, path, depth + 1)
        return f"list_distinct(flatten(list_transform({json_sql}, lambda {element}: {each})))"
    key = f'"its k{depth}"'
    lists = [f"list_transform(json_keys({json_sql}), lambda {key}: {literal(path + _LEVEL)} || {key})"]
    for field in column.fields:
        if field.type == "RECORD":
            member = f"json_extract({json_sql}, {literal(_json_path(field.name))})"
            if field.mode == "REPEATED":
                member = f"from_json({member}, '[\"JSON\"]')"
            lists.append(_key_lists(field, member, path + _LEVEL + field.name, depth + 1))
    return f"list_concat({', '.join(lists)})" if len(lists) > 1 else lists[0]


def _json_path(name: str) -> str:
    return f'$."{name}"'
