"""Jinja for untrusted templates: structure and names, within bounds of work and of output.

Jinja's sandbox keeps a template from Python's objects; it does not keep it from a loop within a loop, or from a text
doubled forty times. Here every iteration, call and filter costs steps, and what would make a large text is refused
before it is made.
"""

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.filters import FILTERS
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_STEPS = 2_000
"""Of one rendering: iterations of loops, calls of macros and filters, and each hundred characters that these read."""
MOST_NODES = 10_000
"""Parts of a template: each name, text, operator and tag is one."""
LONGEST_OUTPUT = 200_000
"""Characters that one rendering, or a part of it, may have."""
_LARGEST_NUMBER = 2**128
FILTER_NAMES = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "int", "items", "join", "last", "length", "list",
    "lower", "map", "max", "min", "reject", "replace", "reverse", "round", "select", "sort", "string", "title", "trim",
    "unique", "upper",
)  # fmt: skip
_METHODS = frozenset({
    "upper", "lower", "strip", "lstrip", "rstrip", "startswith", "endswith", "removeprefix", "removesuffix", "split",
    "items", "keys", "values", "get",
})  # fmt: skip
_STEP, _SINGLE, _READ = "__step__", "__single__", "__read__"
_MANY = (list, tuple, dict, set, range, Iterator)
# Not all that has a length: that of a bound value may not be read.
_SIZED = (str, bytes, list, tuple, dict, set, range, ItemsView, KeysView, ValuesView)


class OutOfBounds(Exception):
    """A template that works longer, or makes more text, than one may."""


class _Work:
    def __init__(self) -> None:
        self.steps = 0

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise OutOfBounds(f"takes more than {MOST_STEPS} steps")


_WORK: ContextVar[_Work | None] = ContextVar("work of the template that is rendered", default=None)


def rendered(template: str, variables: Mapping[str, object]) -> str:
    """The template's text; raises Jinja's own errors, `OutOfBounds`, and what a variable raises when it is printed."""
    with _counting_work():
        return _compiled(template).render(variables)


def names_in(template: str) -> frozenset[str]:
    """Every name that a template reads or makes; raises what is wrong with it."""
    return frozenset(node.name for node in _BOUNDED.parse(template).find_all(nodes.Name))


@lru_cache(maxsize=1024)
def _compiled(template: str) -> jinja2.Template:
    return _BOUNDED.from_string(template)


@contextmanager
def _counting_work() -> Iterator[None]:
    token = _WORK.set(_Work())
    try:
        yield
    finally:
        _WORK.reset(token)


def _spend(*read: object) -> None:
    work = _WORK.get()
    if work is not None:
        work.spend(1 + sum(len(value) for value in read if isinstance(value, _SIZED)) // 100)


def _one_step() -> str:
    """Nothing to print: a call costs a step."""
    return ""


def _require_size(size: int) -> None:
    if size > LONGEST_OUTPUT:
        raise OutOfBounds(f"makes a text or list of more than {LONGEST_OUTPUT} characters")


class _Bounded(SandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """What a rendering, a macro or a block makes."""
        checked, size = [], 0
        for part in parts:
            size += len(part)
            _require_size(size)
            checked.append(part)
        return "".join(checked)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > LONGEST_OUTPUT:
            raise OutOfBounds(f"has {len(source)} characters, more than {LONGEST_OUTPUT}")
        tree = super()._parse(source, name, filename)
        for count, _ in enumerate(tree.find_all(nodes.Node)):
            if count > MOST_NODES:
                raise OutOfBounds(f"has more than {MOST_NODES} parts")
        bounded: nodes.Template = _Counting().visit(tree)
        bounded.set_environment(self)
        return bounded

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _spend(left, right)
        sizes = [len(value) for value in (left, right) if isinstance(value, _SIZED)]
        if operator == "%" and sizes:
            raise OutOfBounds("formats a text by %, which templates do not have")
        if operator == "*" and sizes:
            number = right if isinstance(left, _SIZED) else left
            _require_size(sizes[0] * max(0, number if isinstance(number, int) else 0))
        elif operator == "+":
            _require_size(sum(sizes))
        elif operator == "**" and (abs(left) > 64 or abs(right) > 64):
            raise OutOfBounds("makes a number of more than 38 digits")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > _LARGEST_NUMBER:
            raise OutOfBounds("makes a number of more than 38 digits")
        return result

    def call(self, context: Any, called: Any, *arguments: Any, **named: Any) -> Any:
        _spend(getattr(called, "__self__", None), *arguments)
        return super().call(context, called, *arguments, **named)

    def wrap_str_format(self, value: Any) -> None:
        """`format` is like any other method that is not named: its widths make texts of any length."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes | list | tuple | dict | set | int | float):
            return attr in _METHODS
        return super().is_safe_attribute(obj, attr, value)


class _Counting(NodeTransformer):
    """Each iteration of a loop and each call of a macro spends a step; `a ~ b` becomes a filter, which is bounded."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        # An iteration that the loop's own `if` leaves out takes time too.
        node.iter = nodes.Filter(node.iter, _READ, [], [], None, None, lineno=node.lineno)
        node.body.insert(0, self._step(node))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        """Finding in a list, and comparing two, reads all of it."""
        self.generic_visit(node)
        node.expr = self._reading(node.expr)
        for operand in node.ops:
            operand.expr = self._reading(operand.expr)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Test:
        self.generic_visit(node)
        node.node = self._reading(node.node)
        node.args = [self._reading(argument) for argument in node.args]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = self._reading(node.node)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:
        self.generic_visit(node)
        node.body.insert(0, self._step(node))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.List:
        node.items = [self._item(item) for item in node.items]
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Tuple:
        if node.ctx == "load":
            node.items = [self._item(item) for item in node.items]
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:
        self.generic_visit(node)
        node.value = self._item(node.value)
        return node

    def visit_Name(self, node: nodes.Name) -> nodes.Name:
        if node.name.startswith("__"):
            raise jinja2.TemplateSyntaxError(f"{node.name} begins with two underscores", node.lineno)
        return node

    def _item(self, item: nodes.Expr) -> nodes.Expr:
        """Only literal lists within lists: one that is named and used twice doubles each time."""
        visited: nodes.Expr = self.visit(item)
        if isinstance(visited, nodes.List | nodes.Tuple | nodes.Const | nodes.TemplateData):
            return visited
        return nodes.Filter(visited, _SINGLE, [], [], None, None, lineno=visited.lineno)

    @staticmethod
    def _reading(expression: nodes.Expr) -> nodes.Expr:
        if isinstance(expression, nodes.Const | nodes.Filter):
            return expression
        return nodes.Filter(expression, _READ, [], [], None, None, lineno=expression.lineno)

    def _step(self, node: nodes.Node) -> nodes.Output:
        spend = nodes.Call(nodes.Name(_STEP, "load"), [], [], None, None)
        return nodes.Output([spend]).set_lineno(node.lineno, override=True)  # type: ignore[return-value]


def _read(value: Any) -> Any:
    _spend(value)
    return value


def _single(value: Any) -> Any:
    if isinstance(value, _MANY):
        raise OutOfBounds("puts a list into a list by its name")
    return value


def _printed(value: Any) -> Any:
    if isinstance(value, _MANY):
        raise OutOfBounds("prints a list; join it")
    return value


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    value_index = 1 if hasattr(function, "jinja_pass_arg") else 0  # some take the environment first

    @wraps(function)
    def bounded(*arguments: Any, **named: Any) -> Any:
        value, others = arguments[value_index], [*arguments[value_index + 1 :], *named.values()]
        if name == "join":
            value = [_single(part) for part in value]
            between = max((len(other) for other in others if isinstance(other, str)), default=0)
            _require_size(sum(between + (len(part) if isinstance(part, str) else 40) for part in value))
            arguments = (*arguments[:value_index], value, *arguments[value_index + 1 :])
        elif name == "replace":
            longest = max((len(other) for other in others if isinstance(other, str)), default=0)
            _require_size((len(str(value)) + 1) * longest)
        elif name == "string":
            _printed(value)
        _spend(value, *others)
        return function(*arguments, **named)

    return bounded


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    _require_size(len(numbers))
    return numbers


# Not optimized: what is constant in a template would be computed before its work is counted.
_BOUNDED = _Bounded(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_printed, optimized=False
)
_BOUNDED.filters = {name: _bounded_filter(name, FILTERS[name]) for name in FILTER_NAMES} | {
    _SINGLE: _single,
    _READ: _read,
}
_BOUNDED.globals = {"range": _bounded_range, _STEP: _one_step, "namespace": jinja2.utils.Namespace}
