"""A row condition written as text, in Great Expectations' own language or as pandas' query has it, to its tree.

One grammar reads both: `col("cost") > 0`, `cost > 0 and not currency.isin(["EUR"])`, `Column("cost").is_null()`.
Numbers keep their digits. What is not in the grammar is refused, and nothing is evaluated.
"""

import ast
import re
from dataclasses import dataclass
from decimal import Decimal

from convergence_assets.row_conditions.tree import (
    FLIPPED,
    All,
    Any,
    Column,
    Comparison,
    Condition,
    ConditionError,
    In,
    Missing,
    Not,
    Sign,
    Value,
)

EXPECTED = (
    'comparisons of columns with values (cost > 0, col("region") == "eu"), .isin([...]), .notnull(), .isnull(), '
    "joined by and, or, not"
)
_LONGEST = 10_000
_DEEPEST = 40
_LARGEST_EXPONENT = 400
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | `(?P<quoted>[^`\n]+)`
      | (?P<name>[^\W\d]\w*)
      | (?P<sign><=|>=|==|!=|<|>)
      | (?P<mark>[()\[\],.&|~+-])
      | (?P<other>\S)
    )""",
    re.VERBOSE,
)
_JOINS = {"and": "and", "&": "and", "or": "or", "|": "or"}
_WORDS = frozenset({"and", "or", "not", "in", "True", "False", "None", "is"})
_ABSENT = frozenset({"isnull", "isna", "is_null"})
_PRESENT = frozenset({"notnull", "notna", "is_not_null"})
_MEMBER = frozenset({"isin", "is_in"})
_NO_MEMBER = frozenset({"is_not_in"})
_NULL = "NULL is no value to compare with"
_NULL_WRITTEN = "`column.isnull()` or `column.notnull()`"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def parsed(text: str) -> Condition:
    """The condition that the text says. Raises ConditionError."""
    if len(text) > _LONGEST:
        raise ConditionError(f"a row condition of {len(text)} characters", f"at most {_LONGEST}")
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> list[_Token]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None
        assert match.lastgroup is not None
        written = match[match.lastgroup]
        if match.lastgroup == "other":
            written = text[match.start("other") : match.start("other") + 40]
        tokens.append(_Token(match.lastgroup, written))
        position = match.end()
    return tokens


def _refused(rest: str) -> str:
    """What is wrong where a character stands that is of no token."""
    if rest.startswith("@"):
        return f"variables like {rest.split(maxsplit=1)[0]!r} have no value in a row condition"
    if rest.startswith("="):
        return "'=' is no comparison here; equality is '=='"
    return f"{rest[0]!r} is not read in a row condition"


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    def whole(self) -> Condition:
        if not self.tokens:
            raise ConditionError("the row condition is empty", EXPECTED)
        condition = self._either()
        if self.position < len(self.tokens):
            raise self._unexpected()
        return condition

    def _either(self) -> Condition:
        conditions = [self._all()]
        while self._joins("or"):
            conditions.append(self._all())
        return conditions[0] if len(conditions) == 1 else Any(tuple(conditions))

    def _all(self) -> Condition:
        conditions = [self._negated()]
        while self._joins("and"):
            conditions.append(self._negated())
        return conditions[0] if len(conditions) == 1 else All(tuple(conditions))

    def _negated(self) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ConditionError("the row condition is nested too deeply", f"at most {_DEEPEST} levels")
        try:
            if self._take("not", "name"):
                return Not(self._negated())
            if self._take("~", "mark"):
                return Not(self._inverted())
            return self._compared()
        finally:
            self.depth -= 1

    def _inverted(self) -> Condition:
        """What `~` binds to: brackets, a method of a column or a column, never a comparison."""
        if self._take("(", "mark"):
            return self._closed()
        operand = self._operand()
        if not isinstance(operand, Column):
            raise ConditionError("'~' before a value", "it before a condition in brackets")
        condition = self._of_column(operand)
        if self._peek("sign"):
            raise ConditionError("'~' binds more tightly than a comparison", "not cost > 0, or ~(cost > 0)")
        return condition

    def _closed(self) -> Condition:
        condition = self._either()
        if not self._take(")", "mark"):
            raise self._unexpected("a closing bracket")
        return condition

    def _compared(self) -> Condition:
        if self._take("(", "mark"):
            condition = self._closed()
            if self._peek("sign"):
                raise ConditionError("a condition in brackets is compared", EXPECTED)
            return condition
        left = self._operand()
        compared: list[Condition] = []
        while self._peek("sign"):
            sign: Sign = self._next().text  # type: ignore[assignment]
            if self._peek("mark", "["):
                raise ConditionError(f"a list after {sign!r}", "column in [...], or column not in [...]")
            right = self._operand()
            compared.append(_comparison(left, sign, right))
            left = right
        if compared:
            if self._peek("name", "in") or self._peek("mark", "."):
                raise self._unexpected()
            return compared[0] if len(compared) == 1 else All(tuple(compared))
        if not isinstance(left, Column):
            raise ConditionError("a value by itself is no condition", EXPECTED)
        return self._of_column(left)

    def _of_column(self, column: Column) -> Condition:
        """What follows a column that no sign follows: `in`, a method, or nothing where it holds TRUE or FALSE."""
        if self._take("in", "name"):
            return In(column.name, self._list("[", "]"))
        if self._peek("name", "not") and self._peek("name", "in", 1):
            self.position += 2
            return Not(In(column.name, self._list("[", "]")))
        if self._take("is", "name"):
            raise ConditionError("'is' is not read in a row condition", _NULL_WRITTEN)
        if self._take(".", "mark"):
            return self._method(column)
        return Comparison(column.name, "==", True)

    def _method(self, column: Column) -> Condition:
        name = self._next().text if self._peek("name") else ""
        if not self._take("(", "mark"):
            raise ConditionError(f"the attribute .{name} of a column is not read in a row condition", EXPECTED)
        condition: Condition
        if name in _ABSENT | _PRESENT:
            condition = Missing(column.name) if name in _ABSENT else Not(Missing(column.name))
        elif name in _MEMBER | _NO_MEMBER:
            condition = In(column.name, self._list("[", "]"))
            condition = condition if name in _MEMBER else Not(condition)
        else:
            raise ConditionError(f"the method .{name}(...) of a column is not run in a row condition", EXPECTED)
        if not self._take(")", "mark"):
            raise self._unexpected("a closing bracket")
        return condition

    def _list(self, opening: str, closing: str) -> tuple[Value, ...]:
        if self._take("(", "mark"):
            opening, closing = "(", ")"
        elif not self._take(opening, "mark"):
            raise self._unexpected("a list of values: [1, 2]")
        values: list[Value] = []
        while not self._take(closing, "mark"):
            value = self._operand()
            if isinstance(value, Column):
                raise ConditionError(f"the column {value.name!r} in a list", "values")
            values.append(value)
            if not self._take(",", "mark") and not self._peek("mark", closing):
                raise self._unexpected("a comma or a closing bracket")
        return tuple(values)

    def _operand(self) -> Value | Column:
        sign = 1
        while self._peek("mark", "-") or self._peek("mark", "+"):
            sign = -sign if self._next().text == "-" else sign
            if not self._peek("number"):
                raise ConditionError("arithmetic is not read in a row condition", EXPECTED)
        if self.position == len(self.tokens):
            raise self._unexpected("a column or a value")
        token = self._next()
        match token.kind:
            case "number":
                return sign * number(token.text)
            case "text":
                return _unquoted(token.text)
            case "quoted":
                return Column(token.text.strip())
            case "name" if token.text in ("True", "False"):
                return token.text == "True"
            case "name" if token.text == "None":
                raise ConditionError(_NULL, _NULL_WRITTEN)
            case "name" if token.text not in _WORDS:
                return self._called(token.text) if self._peek("mark", "(") else Column(token.text)
        self.position -= 1
        raise self._unexpected("a column or a value")

    def _called(self, name: str) -> Value | Column:
        if name not in ("col", "Column", "date"):
            raise ConditionError(f"the function {name}(...) is not run in a row condition", EXPECTED)
        self._next()
        if not self._peek("text"):
            raise self._unexpected('a text in quotes: col("cost")')
        text = _unquoted(self._next().text)
        if not self._take(")", "mark"):
            raise self._unexpected("a closing bracket")
        return text if name == "date" else Column(text)

    def _joins(self, word: str) -> bool:
        if self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.kind in ("name", "mark") and _JOINS.get(token.text) == word:
                self.position += 1
                return True
        return False

    def _peek(self, kind: str, text: str | None = None, ahead: int = 0) -> bool:
        if self.position + ahead >= len(self.tokens):
            return False
        token = self.tokens[self.position + ahead]
        return token.kind == kind and text in (None, token.text)

    def _take(self, text: str, kind: str) -> bool:
        if self._peek(kind, text):
            self.position += 1
            return True
        return False

    def _next(self) -> _Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def _unexpected(self, expected: str = EXPECTED) -> ConditionError:
        if self.position >= len(self.tokens):
            return ConditionError("the row condition ends too early", expected)
        token = self.tokens[self.position]
        if token.kind == "other":
            return ConditionError(_refused(token.text), EXPECTED)
        if token.text in ("+", "-"):
            return ConditionError("arithmetic is not read in a row condition", EXPECTED)
        return ConditionError(f"{token.text!r} does not fit there in a row condition", expected)


def number(text: str) -> Decimal:
    """The number with all of its digits. Raises ConditionError beyond 400 places."""
    value = Decimal(text)
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ConditionError(f"the number {text[:20]} is out of range", f"at most {_LARGEST_EXPONENT} digits")
    return value


def _comparison(left: Value | Column, sign: Sign, right: Value | Column) -> Comparison:
    if isinstance(left, Column):
        return Comparison(left.name, sign, right)
    if isinstance(right, Column):
        return Comparison(right.name, FLIPPED[sign], left)
    raise ConditionError("two values are compared", "a column and a value")


def _unquoted(token: str) -> str:
    try:
        return str(ast.literal_eval(token))
    except (SyntaxError, ValueError):
        raise ConditionError(f"{token} is no text", "a text in quotes") from None
