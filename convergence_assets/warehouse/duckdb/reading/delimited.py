"""CSV by RFC 4180: a header, one delimiter, quotes doubled inside quotes; nothing is sniffed."""

import csv
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.duckdb.reading.forms import TEXT, Form
from convergence_assets.warehouse.duckdb.reading.local import line_at, named
from convergence_assets.warehouse.duckdb.reading.names import Keys
from convergence_assets.warehouse.errors import UnreadableFile, WarehouseError
from convergence_assets.warehouse.interface import SourceFile
from convergence_assets.warehouse.schema import Column

_OTHERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_SHOWN = 3
_NOT_UTF8 = "is not UTF-8; expected UTF-8 (Latin-1 must be converted)"


class DelimitedFile:
    """A CSV file; see `Source`."""

    row = "row_number() OVER ()"
    is_empty = False

    def __init__(self, engine: Engine, file: SourceFile, path: Path, columns: Sequence[Column]) -> None:
        self._engine, self._file, self._path = engine, file, path
        self._delimiter = file.delimiter or _delimiter(named(file))
        self.where = f"{named(file)}:1"
        self._names = self._header()
        self.keys: Keys = {name: {} for name in self._names}
        if len(self.keys) < len(self._names):
            twice = sorted({name for name in self._names if self._names.count(name) > 1})
            raise UnreadableFile(f"{self.where}: the header names {', '.join(map(repr, twice))} twice")
        if len(columns) > 1 and (other := self._other_delimiter()):
            raise UnreadableFile(other)
        header = {name.lower() for name in self._names}
        nested = [c.name for c in columns if c.type == "RECORD" or c.mode == "REPEATED"]
        if nested := [name for name in nested if name.lower() in header]:
            raise UnreadableFile(f"{self.where}: CSV holds no RECORD and no REPEATED column ({', '.join(nested)})")

    def relation(self, columns: Mapping[str, Column]) -> str:
        return self._reader()

    def taken(self, spelled: str) -> tuple[str, Form]:
        return quoted(f"c{self._names.index(spelled)}"), Form(TEXT)

    def lines(self, rows: Sequence[int]) -> Mapping[int, int]:
        row_numbers, ends = set(rows), dict[int, int]()
        last = max(row_numbers, default=0)
        csv.field_size_limit(sys.maxsize)
        with self._path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            reader = csv.reader(text, delimiter=self._delimiter)
            next(reader)
            number = 0
            for record in reader:
                # The engine skips blank lines but in a file of one column, where each is a field without text.
                number += 1 if record or len(self._names) == 1 else 0
                if number in row_numbers:
                    ends.setdefault(number, reader.line_num)
                if number >= last:
                    break
        return ends

    def explained(self, message: str) -> str | None:
        if "CSV" not in message and "unicode" not in message:
            return None
        return (
            self._rejects() or f"{named(self._file)}: is not CSV by RFC 4180 (line ends of two kinds, or stray quotes?)"
        )

    def _header(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                first = next(csv.reader(text, delimiter=self._delimiter), None)
        except csv.Error as error:
            raise UnreadableFile(f"{self.where}: is not CSV: {error}") from None
        if any(re.search("[\ud800-\udfff]", name) for name in first or ()):
            raise UnreadableFile(f"{self.where}: {_NOT_UTF8}")
        if not first:
            what = "has no bytes" if first is None else "begins with a blank line"
            raise UnreadableFile(f"{named(self._file)}: {what}; expected a header line with the columns' names")
        return [name.strip() for name in first]

    def _other_delimiter(self) -> str | None:
        """The sentence for a header that is one name, since it has another delimiter."""
        if len(self._names) > 1:
            return None
        inside = next((d for d in _OTHERS if d != self._delimiter and d in self._names[0]), None)
        if inside is None:
            return None
        used = _OTHERS.get(self._delimiter, repr(self._delimiter))
        return f"{self.where}: the header is one column; the delimiter is {used}, is it {_OTHERS[inside]} in the file?"

    def _reader(self, options: str = "") -> str:
        columns = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(len(self._names)))
        return (
            f"read_csv({literal(str(self._path))}, header = true, auto_detect = false, "
            f"delim = {literal(self._delimiter)}, quote = '\"', escape = '\"', columns = {{{columns}}}, "
            f"nullstr = '', allow_quoted_nulls = false, hive_partitioning = false{options})"
        )

    def _rejects(self) -> str | None:
        """The first few lines that the engine cannot take apart, and how many there are."""
        scans, rejects = (f"{kind}_{uuid.uuid4().hex}" for kind in ("scans", "rejects"))
        options = f", store_rejects = true, rejects_scan = '{scans}', rejects_table = '{rejects}'"
        try:
            self._engine.run(f"SELECT count(COLUMNS(*)) FROM {self._reader(options)}")
            # Not by its `line`, which counts a quoted field of several lines as one (1.5).
            rejected = self._engine.run(
                f"SELECT line_byte_position - 1 AS starts, min(error_type::VARCHAR), min(error_message) FROM {rejects} "
                f"GROUP BY starts ORDER BY starts LIMIT {_SHOWN}"
            )
            number = self._engine.run(f"SELECT count(DISTINCT line_byte_position) FROM {rejects}")[0][0]
        except WarehouseError:
            return None
        finally:
            for table in (scans, rejects):
                with suppress(WarehouseError):
                    self._engine.run(f"DROP TABLE IF EXISTS {table}")
        if not rejected:
            return None
        where = [f"{named(self._file)}:{line_at(self._path, at)}" for at, _, _ in rejected]
        shown = [f"{at}: {self._reject(kind, text)}" for at, (_, kind, text) in zip(where, rejected, strict=True)]
        more = [f"and {number - len(rejected)} more lines"] if number > len(rejected) else []
        return "\n".join(shown + more)

    def _reject(self, kind: str, message: str) -> str:
        fields = re.search(r"Found: (\d+)", message)
        if fields and "COLUMNS" in kind:
            expected = f"{len(self._names)}, as the header"
            return f"{fields[1]} {'field' if fields[1] == '1' else 'fields'}; expected {expected}"
        if kind == "INVALID ENCODING" or "unicode" in message:
            return _NOT_UTF8
        if "SIZE" in kind:
            return "is longer than 2,000,000 bytes; expected a shorter line (is a quote not closed?)"
        return 'a quoted field does not end, or goes on after its closing quote; expected "" for a quote inside'


def _delimiter(name: str) -> str:
    return "\t" if re.search(r"\.tsv(\.gz|\.zst)?$", name, re.IGNORECASE) else ","
