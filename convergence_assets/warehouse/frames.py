"""Arrow to pandas: the one place that fixes a frame's types, equal whatever warehouse the Arrow table came from.

| declared               | in the frame                     | NULL        |
|------------------------|----------------------------------|-------------|
| STRING                 | object of shared `str`           | None        |
| INT64                  | Int64; int64 if REQUIRED         | pd.NA       |
| NUMERIC, BIGNUMERIC    | object of shared `Decimal`       | None        |
| FLOAT64                | float64                          | NaN         |
| BOOL                   | object of bool; bool if REQUIRED | None        |
| DATE, DATETIME         | datetime64[ns]                   | NaT         |
| TIMESTAMP              | datetime64[ns, UTC]              | NaT         |
| TIME                   | object of ISO text               | None        |
| BYTES                  | object of `bytes`                | None        |
| JSON, RECORD, REPEATED | object of canonical JSON text    | None, `[]`  |

A column with a date outside 1678..2261 has microseconds in place of nanoseconds.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.schema import Column

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FIRST_NANOSECOND_DAY = datetime(1678, 1, 1)  # noqa: DTZ001 - compared with a column without a time zone
LAST_NANOSECOND_DAY = datetime(2262, 1, 1)  # noqa: DTZ001


def frame_from_arrow(table: "pa.Table", columns: Sequence[Column]) -> "pd.DataFrame":
    """A frame of exactly `columns`, in their order and under their declared names.

    Names are matched as BigQuery matches them, regardless of case. Raises ValueError for a column that the Arrow
    table lacks, or whose values are not of the declared type.
    """
    import pandas as pd

    arrow_names = {name.lower(): name for name in table.column_names}
    series = {}
    for column in columns:
        arrow_name = arrow_names.get(column.name.lower())
        if arrow_name is None:
            raise ValueError(f"column {column.name!r} is missing; the result has {', '.join(table.column_names)}")
        try:
            series[column.name] = _converted(table.column(arrow_name), column)
        except (ArithmeticError, LookupError, TypeError, ValueError, NotImplementedError) as error:
            arrow_type = table.schema.field(arrow_name).type
            raise ValueError(
                f"column {column.name!r} is declared {column.type} but holds {arrow_type}: {error}"
            ) from error
    # copy=False keeps one array a column: consolidating them into blocks would double the memory for a moment.
    return pd.DataFrame(series, index=pd.RangeIndex(table.num_rows), copy=False)


def empty_frame(columns: Sequence[Column]) -> "pd.DataFrame":
    """A frame of `columns` without rows, typed as `frame_from_arrow` types them."""
    import pyarrow as pa

    kinds = {
        "INT64": pa.int64(), "NUMERIC": pa.decimal128(38, 9), "BIGNUMERIC": pa.decimal256(76, 38),
        "FLOAT64": pa.float64(), "BOOL": pa.bool_(), "DATE": pa.date32(), "DATETIME": pa.timestamp("us"),
        "TIMESTAMP": pa.timestamp("us", "UTC"), "TIME": pa.time64("us"), "BYTES": pa.binary(),
    }  # fmt: skip
    typed = [(c.name, kinds.get(c.type, pa.string()) if c.mode != "REPEATED" else pa.string()) for c in columns]
    return frame_from_arrow(pa.schema(typed).empty_table(), columns)


def _converted(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array([chunk.storage for chunk in values.chunks], values.type.storage_type)
    if column.mode == "REPEATED":
        return _objects(values, lambda value: _canonical(value or []), null="[]")
    return _CONVERTERS[column.type](values, column)


def _text(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    return values.cast(pa.string()).to_pandas(deduplicate_objects=True).to_numpy()


def _bytes(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    return values.cast(pa.binary()).to_pandas(deduplicate_objects=True).to_numpy()


def _integer(values: "pa.ChunkedArray", column: Column) -> Any:
    import pandas as pd
    import pyarrow as pa

    whole = values.cast(pa.int64())
    if column.mode == "REQUIRED" and whole.null_count == 0:
        return whole.to_numpy()
    missing = whole.is_null().to_numpy()
    return pd.arrays.IntegerArray(whole.fill_null(0).to_numpy().copy(), missing)


def _float(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    return values.cast(pa.float64()).to_numpy()


def _numeric(values: "pa.ChunkedArray", column: Column) -> Any:
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_decimal(values.type):
        values = values.cast(pa.int64()).cast(pa.decimal128(38, 9))
    encoded = values.combine_chunks().dictionary_encode()
    shown = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return shown[encoded.indices.fill_null(len(shown) - 1).to_numpy()]


def _boolean(values: "pa.ChunkedArray", column: Column) -> Any:
    import numpy as np
    import pyarrow as pa

    truth = values.cast(pa.bool_())
    if column.mode == "REQUIRED" and truth.null_count == 0:
        return truth.to_numpy()
    shown = np.array([False, True, None], dtype=object)
    return shown[truth.cast(pa.int8()).fill_null(2).to_numpy()]


def _date(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    return _moments(values.cast(pa.date32()).cast(pa.timestamp("us")))


def _datetime(values: "pa.ChunkedArray", column: Column) -> Any:
    import pyarrow as pa

    return _moments(values.cast(pa.timestamp("us")))


def _timestamp(values: "pa.ChunkedArray", column: Column) -> Any:
    import pandas as pd
    import pyarrow as pa

    # An Arrow timestamp with a zone counts from the epoch in UTC whatever zone it names.
    utc = values.cast(pa.timestamp("us", tz="UTC"))
    return pd.Series(_moments(utc.cast(pa.timestamp("us"))), copy=False).dt.tz_localize("UTC").array


def _moments(values: "pa.ChunkedArray") -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    bounds = pc.min_max(values).as_py()
    first, last = bounds["min"], bounds["max"]
    fits = first is None or (first >= FIRST_NANOSECOND_DAY and last < LAST_NANOSECOND_DAY)
    return values.cast(pa.timestamp("ns" if fits else "us")).to_numpy()


def _time(values: "pa.ChunkedArray", column: Column) -> Any:
    return _objects(values, lambda value: value.isoformat() if isinstance(value, time) else str(value))


def _json(values: "pa.ChunkedArray", column: Column) -> Any:
    return _objects(values, lambda value: _canonical(json.loads(value)))


def _record(values: "pa.ChunkedArray", column: Column) -> Any:
    return _objects(values, _canonical)


def _objects(values: "pa.ChunkedArray", convert: Callable[[Any], str], null: str | None = None) -> Any:
    import numpy as np

    shared: dict[str, str] = {}
    result = np.empty(len(values), dtype=object)
    position = 0
    for chunk in values.chunks:
        for start in range(0, len(chunk), 65_536):
            for value in chunk.slice(start, 65_536).to_pylist():
                text = null if value is None else convert(value)
                result[position] = None if text is None else shared.setdefault(text, text)
                position += 1
    return result


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"no JSON form for {type(value).__name__}")


_CONVERTERS: dict[str, Callable[["pa.ChunkedArray", Column], Any]] = {
    "STRING": _text,
    "INT64": _integer,
    "NUMERIC": _numeric,
    "BIGNUMERIC": _numeric,
    "FLOAT64": _float,
    "BOOL": _boolean,
    "DATE": _date,
    "DATETIME": _datetime,
    "TIMESTAMP": _timestamp,
    "TIME": _time,
    "BYTES": _bytes,
    "JSON": _json,
    "RECORD": _record,
}
