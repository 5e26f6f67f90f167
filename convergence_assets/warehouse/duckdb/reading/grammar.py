"""The one grammar of each type: SQL that reads a text exactly, or gives NULL where it cannot.

The text is the same whether a CSV, a JSON Lines or a Parquet file holds it. DuckDB's own casts are used only behind a
pattern: alone they round, take underscores, slashes, `infinity` and years before Christ, and forget a zone (1.5.6).
"""

from convergence_assets.warehouse.schema import ColumnType

PLACES: dict[ColumnType, int] = {"INT64": 0, "NUMERIC": 9, "BIGNUMERIC": 38}
"""The decimals of the types that hold a number exactly."""

_NUMERIC = "DECIMAL(38,9)"
NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOURS, _SIXTY = "([01][0-9]|2[0-3])", "[0-5][0-9]"
_CLOCK = rf"{_HOURS}:{_SIXTY}(:{_SIXTY}(\.[0-9]{{1,6}}0*)?)?"
_ZONE = rf"(Z| ?UTC|[+-]{_HOURS}(:?{_SIXTY})?)"
_BASE64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

EXPECTED: dict[ColumnType, str] = {
    "STRING": "a text",
    "INT64": "a whole number of 64 bits",
    "NUMERIC": "a decimal number of at most 29 digits before the point and 9 after it",
    "BIGNUMERIC": "a decimal number of at most 38 digits before the point and 38 after it",
    "FLOAT64": "a finite decimal number",
    "BOOL": "true or false",
    "DATE": "a day YYYY-MM-DD from 0001-01-01 to 9999-12-31",
    "DATETIME": "YYYY-MM-DDTHH:MM:SS without a zone, of at most 6 decimals",
    "TIMESTAMP": "YYYY-MM-DDTHH:MM:SS, of at most 6 decimals, with Z, an offset or no zone (UTC)",
    "TIME": "HH:MM:SS without a zone, of at most 6 decimals",
    "BYTES": "base64",
    "JSON": "JSON",
}


def value(kind: ColumnType, text: str, *, rounds: bool = False) -> str:
    """SQL that reads `text` (a SQL expression, best a column) as a type; NULL where it is NULL or does not fit.

    `rounds`: a number of more decimals than the type has is rounded half to even instead.
    """
    return _numbers(kind, text, rounds) if kind in PLACES else _OTHERS[kind](text)


def rounded(kind: ColumnType, text: str) -> str:
    """Whether reading the text with `rounds` loses decimals."""
    long = _let(_N, _digits(text), f"strlen({_N}.f) > {PLACES[kind]}")
    return f"CASE WHEN {_is(text, NUMBER)} THEN {long} ELSE false END"


def in_range(kind: ColumnType, raw: str) -> str:
    """A DATE, DATETIME or TIMESTAMP of the engine's own, NULL where BigQuery has no such day."""
    typed = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}[kind]
    first, after = f"{typed} '0001-01-01'", f"{typed} '9999-12-31'"
    last = after if kind == "DATE" else f"{after} + INTERVAL '86399.999999' SECOND"
    return f"CASE WHEN {raw} BETWEEN {first} AND {last} THEN {raw} END"


def finite(raw: str) -> str:
    """A DOUBLE, NULL where it is not finite."""
    return f"CASE WHEN isfinite({raw}) THEN {raw} END"


def instant(micros: str) -> str:
    """A TIMESTAMPTZ of microseconds since 1970; a cast from TIMESTAMP asks the time zone's calendar, row by row."""
    return f"make_timestamptz({micros})"


def _is(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, '{pattern}')"


def _let(name: str, bound: str, body: str) -> str:
    """SQL in which `name` is an expression that is computed once."""
    return f"list_transform([{bound}], lambda {name}: {body})[1]"


_N, _P, _J, _O, _L, _U = (f'"its {name}"' for name in ("digits", "parts", "join", "offset", "clock", "micros"))
"""Names of what is computed once: with a space, which no column's name has."""


def _digits(text: str) -> str:
    """A number's sign, its whole digits without leading and its decimals without trailing zeros, exponent resolved."""
    parts = (
        f"{{'m': regexp_extract({text}, '^[+-]?([0-9.]+)', 1), "
        f"'e': coalesce(TRY_CAST(nullif(regexp_extract({text}, '[eE](.*)$', 1), '') AS INTEGER), 0)}}"
    )
    joined = f"{{'d': replace({_P}.m, '.', ''), 'p': strlen(split_part({_P}.m, '.', 1)) + {_P}.e}}"
    whole = f"CASE WHEN {_J}.p <= 0 THEN '' ELSE rpad(left({_J}.d, {_J}.p), CAST({_J}.p AS INTEGER), '0') END"
    decimals = f"CASE WHEN {_J}.p <= 0 THEN repeat('0', -{_J}.p) || {_J}.d ELSE substr({_J}.d, {_J}.p + 1) END"
    sign = f"CASE WHEN starts_with({text}, '-') THEN '-' ELSE '' END"
    number = f"{{'s': {sign}, 'w': ltrim({whole}, '0'), 'f': rtrim({decimals}, '0')}}"
    return _let(_P, parts, _let(_J, joined, number))


def _numbers(kind: ColumnType, text: str, rounds: bool) -> str:
    quick = {"INT64": _quick_integer, "NUMERIC": _quick_numeric, "BIGNUMERIC": _quick_bignumeric}[kind](text)
    places = PLACES[kind]
    cases = f"WHEN strlen({_N}.f) <= {places} THEN {_exact(kind, f'{_N}.w', f'{_N}.f')}"
    if rounds:
        cases += f" ELSE {_half_even(kind, places)}"
    slow = _let(_N, _digits(text), f"CASE {cases} END")
    return f"CASE {quick} WHEN {_is(text, NUMBER)} THEN {slow} END"


def _quick_integer(text: str) -> str:
    return f"WHEN {_is(text, '[+-]?[0-9]{1,18}')} THEN CAST({text} AS BIGINT)"


def _quick_numeric(text: str) -> str:
    # DuckDB takes 16 µs to cast a text to a decimal of 38 digits, and 0.1 µs to one of 18.
    short = _is(text, r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?")
    longer = _is(text, r"[+-]?[0-9]{1,18}(\.[0-9]{1,9})?")
    whole = f"CAST(CAST(split_part({text}, '.', 1) AS BIGINT) AS {_NUMERIC})"
    part = f"CAST(CAST('0.' || split_part({text}, '.', 2) AS DECIMAL(18,9)) AS {_NUMERIC})"
    signed = f"CASE WHEN starts_with({text}, '-') THEN -{part} ELSE {part} END"
    return (
        f"WHEN {short} THEN CAST(CAST({text} AS DECIMAL(18,9)) AS {_NUMERIC}) "
        f"WHEN {longer} THEN CAST({whole} + {signed} AS {_NUMERIC})"
    )


def _quick_bignumeric(text: str) -> str:
    short = _is(text, r"[+-]?[0-9]{1,38}(\.[0-9]{1,38})?")
    return f"WHEN {short} THEN bignumeric_from_digits({text})"


def _exact(kind: ColumnType, whole: str, decimals: str) -> str:
    """The number of so many decimals as the type has or fewer; NULL beyond its range."""
    if kind == "INT64":
        return f"TRY_CAST({_N}.s || '0' || {whole} AS BIGINT)"
    text = f"{_N}.s || '0' || {whole} || '.' || {decimals}"
    if kind == "NUMERIC":
        return f"CASE WHEN strlen({whole}) <= 29 THEN TRY_CAST({text} || '0' AS {_NUMERIC}) END"
    return f"bignumeric_safe_from_text({text})"


def _half_even(kind: ColumnType, places: int) -> str:
    kept_digits, rest = f"left({_N}.f, {places})", f"substr({_N}.f, {places + 1})"
    last = f"right({kept_digits}, 1)" if places else f"right({_N}.w, 1)"
    up = f"({rest} > '5' OR ({rest} = '5' AND {last} IN ('1', '3', '5', '7', '9')))"
    cut = _exact(kind, f"{_N}.w", kept_digits)
    digits, unit = {
        "INT64": (18, "CAST('1' AS BIGINT)"),
        "NUMERIC": (28, f"CAST('0.000000001' AS {_NUMERIC})"),
        "BIGNUMERIC": (38, "bignumeric_from_text('1e-38')"),
    }[kind]
    add, subtract = (
        (f"bignumeric_add({cut}, {unit})", f"bignumeric_subtract({cut}, {unit})")
        if kind == "BIGNUMERIC"
        else (f"{cut} + {unit}", f"{cut} - {unit}")
    )
    return (
        f"CASE WHEN strlen({_N}.w) > {digits} THEN NULL WHEN NOT {up} THEN {cut} "
        f"WHEN {_N}.s = '-' THEN {subtract} ELSE {add} END"
    )


def _float(text: str) -> str:
    double = f"TRY_CAST({text} AS DOUBLE)"
    vanishes = f"{double} = 0 AND NOT {_is(text, '[+-]?[0.]+([eE].*)?')}"
    return f"CASE WHEN {_is(text, NUMBER)} THEN CASE WHEN isfinite({double}) AND NOT ({vanishes}) THEN {double} END END"


def _boolean(text: str) -> str:
    return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"


def _day(text: str) -> str:
    return f"CASE WHEN {_is(text, _DAY)} AND {text} >= '0001' THEN TRY_CAST({text} AS DATE) END"


def _datetime(text: str) -> str:
    whole = _is(text, rf"{_DAY}[T ]{_HOURS}:{_SIXTY}:{_SIXTY}(\.[0-9]{{1,6}}0*)?")
    without = f"CASE WHEN strlen({text}) = 16 THEN {text} || ':00' ELSE {text} END"
    return (
        f"CASE WHEN {text} < '0001' THEN NULL WHEN {whole} THEN TRY_CAST({text} AS TIMESTAMP) "
        f"WHEN {_is(text, rf'{_DAY}([T ]{_CLOCK})?')} THEN TRY_CAST({without} AS TIMESTAMP) END"
    )


def _moment(text: str) -> str:
    whole = _is(text, rf"{_DAY}[T ]{_HOURS}:{_SIXTY}:{_SIXTY}(\.[0-9]{{1,6}}0*)?Z?")
    usual = instant(f"epoch_us(TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP))")
    # DuckDB forgets the zone of a text that it casts to TIMESTAMP, so it is taken off here and subtracted.
    local = f"regexp_extract({text}, '^{_DAY}([T ]{_CLOCK})?')"
    offset = f"regexp_extract({text}, '([+-])([0-9]{{2}}):?([0-9]{{2}})?$', ['s', 'h', 'm'])"
    minutes = f"CAST({_O}.h AS BIGINT) * 60 + coalesce(TRY_CAST(nullif({_O}.m, '') AS BIGINT), 0)"
    ahead = f"CASE {_O}.s WHEN '+' THEN {minutes} WHEN '-' THEN -({minutes}) ELSE 0 END"
    zoned = (
        f"CASE WHEN strlen({text}) > 10 AND {_is(text, f'.*{_CLOCK}[+-].*')} THEN {_let(_O, offset, ahead)} ELSE 0 END"
    )
    micros = f"epoch_us({_datetime(_L)}) - {zoned} * 60000000"
    bounded = _let(_U, micros, f"CASE WHEN {_U} BETWEEN {_micros('0001-01-01 00:00:00')} AND "
                   f"{_micros('9999-12-31 23:59:59.999999')} THEN {instant(_U)} END")  # fmt: skip
    shape = _is(text, rf"{_DAY}([T ]{_CLOCK}{_ZONE}?)?")
    return (
        f"CASE WHEN {text} < '0001' THEN NULL WHEN {whole} THEN {usual} "
        f"WHEN {shape} THEN {_let(_L, local, bounded)} END"
    )


def _micros(moment: str) -> str:
    return f"epoch_us(TIMESTAMP '{moment}')"


def _time(text: str) -> str:
    return f"CASE WHEN {_is(text, _CLOCK)} THEN TRY_CAST({text} AS TIME) END"


def _bytes(text: str) -> str:
    return f"CASE WHEN {_is(text, _BASE64)} THEN from_base64({text}) END"


def _json(text: str) -> str:
    return f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) END"


_OTHERS = {
    "STRING": lambda text: text,
    "FLOAT64": _float,
    "BOOL": _boolean,
    "DATE": _day,
    "DATETIME": _datetime,
    "TIMESTAMP": _moment,
    "TIME": _time,
    "BYTES": _bytes,
    "JSON": _json,
}
