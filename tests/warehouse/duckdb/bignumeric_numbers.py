"""Numbers to try BIGNUMERIC with, and Python's Decimal for the answers."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from hypothesis import strategies as st

D = Decimal
WIDE = Context(prec=400, rounding=ROUND_HALF_UP)
UNIT, NINTH = D("1e-38"), D("1e-9")
LARGEST = D(2**255 - 1).scaleb(-38, context=WIDE)
SMALLEST = D(-(2**255)).scaleb(-38, context=WIDE)


def in_units(units: st.SearchStrategy[int], places: int) -> st.SearchStrategy[Decimal]:
    return units.map(lambda u: D(u).scaleb(-places, context=WIDE))


vast = in_units(st.integers(-(2**255), 2**255 - 1), 38)
money = in_units(st.integers(-(10**24), 10**24), 9)
fine = in_units(st.integers(-(10**40), 10**40), 38)
# k + 0.5 units in the 39th place come out of products and quotients of these.
halves = st.builds(lambda k, p: D(k).scaleb(-p, context=WIDE), st.integers(-(10**19), 10**19), st.integers(0, 20))
chosen = st.sampled_from(
    [D(0), D("0.5"), D("-0.5"), D("2.5"), UNIT, -UNIT, D("5e-20"), D(3), D(-7), LARGEST, SMALLEST, D("1e38"), D("1e19")]
)
wides = st.one_of(vast, money, fine, halves, chosen)
narrow = st.one_of(
    in_units(st.integers(-(10**38 - 1), 10**38 - 1), 9),
    in_units(st.integers(-(10**6), 10**6), 4),
    st.sampled_from([D(0), NINTH, D(1), D("-0.5"), D("9" * 29 + "." + "9" * 9)]),
)
doubles = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-1e39, 1e39),
    st.floats(-1e-30, 1e-30),
    st.sampled_from([0.0, -0.0, 0.5, 0.1, -2.5, 2.0**-39, 3 * 2.0**-39, 5e-324, 1.7e308, float("inf"), float("nan")]),
)
integers = st.one_of(st.integers(-1000, 1000), st.integers(-(2**63), 2**63 - 1))
texts = st.one_of(
    wides.map(lambda d: format(d, "f")),
    st.builds(lambda k, e: f" {k}e{e} ", st.integers(-(10**30), 10**30), st.integers(-80, 40)),
    st.integers(-(10**6), 10**6).map(lambda k: f"{k}5e-39"),
    st.sampled_from(["", ".", "1_000", "0x1F", "nan", "inf", "1e999999", "1e-999999", "0e999", "+.5", "7.", "٣"]),
)
optional: Callable[[st.SearchStrategy[Any]], st.SearchStrategy[Any]] = lambda s: st.one_of(s, s, s, s, st.none())  # noqa: E731
rows = st.lists(
    st.tuples(optional(wides), optional(wides), optional(narrow), optional(doubles), optional(integers),
              optional(texts)),
    min_size=10, max_size=30,
)  # fmt: skip
ERROR = object()


def big(value: Decimal) -> object:
    """As BigQuery stores it."""
    with localcontext(WIDE):
        held = value.quantize(UNIT, rounding=ROUND_HALF_UP)
    return held if SMALLEST <= held <= LARGEST else ERROR


def wide(work: Callable[..., Decimal]) -> Callable[..., object]:
    def wrapped(*operands: Any) -> object:
        with localcontext(WIDE):
            return big(work(*operands))

    return wrapped


def divided(a: Any, b: Any) -> object:
    return big(WIDE.divide(D(a), D(b))) if b else ERROR


def rounded(a: Decimal, places: int) -> object:
    with localcontext(WIDE):
        return big(a.quantize(D(1).scaleb(-places), rounding=ROUND_HALF_UP))


def numeric(a: Decimal) -> object:
    with localcontext(WIDE):
        held = a.quantize(NINTH, rounding=ROUND_HALF_UP)
        return held if abs(held) < D("1e29") else ERROR


def int64(a: Decimal) -> object:
    whole = int(a.to_integral_value(rounding=ROUND_HALF_UP))
    return whole if -(2**63) <= whole < 2**63 else ERROR


def text(value: Decimal) -> str:
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def from_text(s: str) -> object:
    plain = s.strip(" ")
    number = all(c in "0123456789+-.eE" for c in plain) and any(c.isdigit() for c in plain)
    return big(D(plain)) if number and abs(D(plain).adjusted()) < 200 else ERROR if not number else _extreme(D(plain))


def _extreme(value: Decimal) -> object:
    return D(0) if value == 0 or value.adjusted() < 0 else ERROR


def from_double(f: float) -> object:
    return ERROR if f != f or abs(f) == float("inf") else big(D(f))


def safe(work: Callable[..., object]) -> Callable[..., object]:
    def wrapped(*operands: Any) -> object:
        result = work(*operands)
        return None if result is ERROR else result

    return wrapped
