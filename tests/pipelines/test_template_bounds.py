"""What a template may spend: the hostile ones are refused in no time with file and line, ordinary ones are as before."""

import time

import pytest

from convergence_assets.pipelines.compile import render
from convergence_assets.pipelines.parameters import BoundOnly
from convergence_assets.pipelines.problems import TemplateError

LOOPS = "{% for a in range(9) %}" * 12 + "x" + "{% endfor %}" * 12
DOUBLED = (
    "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a OPERATOR ns.a %}{% endfor %}{{ ns.a }}"
)
NESTED = "{% set a = ['x', 'x'] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}"
MACROS = (
    "{% macro m0() %}xxxxxxxxxx{% endmacro %}"
    + "".join(f"{{% macro m{n}() %}}{{{{ m{n - 1}() }}}}{{{{ m{n - 1}() }}}}{{% endmacro %}}" for n in range(1, 40))
    + "{{ m39() }}"
)
HOSTILE = {
    "loops within loops": LOOPS,
    "a long loop": "{% for a in range(10 ** 9) %}{% endfor %}",
    "rounds that are left out": "{% for a in range(1000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
    "a loop over a long text": "{% set t = 'abcdefghij' * 10000 %}{% for c in t %}{% endfor %}",
    "a text times a number": "{{ 'a' * 10 ** 9 }}",
    "a number times a list": "{{ (10 ** 9 * ['a']) | join }}",
    "a width": "{{ '%999999999d' % 1 }}",
    "a width of format": "{{ '{:>999999999}'.format(1) }}",
    "a method that pads": "{{ 'a'.ljust(10 ** 9) }}",
    "another one": "{{ 'a'.zfill(10 ** 9) }}",
    "tabs": "{{ '\t'.expandtabs(10 ** 9) }}",
    "a filter that pads": "{{ 'a' | center(10 ** 9) }}",
    "an indent": "{{ 'a b' | indent(10 ** 9) }}",
    "a text doubled by +": DOUBLED.replace("OPERATOR", "+"),
    "a text doubled by ~": DOUBLED.replace("OPERATOR", "~"),
    "a text that replaces each letter of itself": (
        "{% set ns = namespace(a='aaaaaaaaaa') %}{% for i in range(9) %}{% set ns.a = ns.a | replace('a', ns.a) %}"
        "{% endfor %}{{ ns.a }}"
    ),
    "a join of a join": "{% set a = 'aaaaaaaaaa' * 1000 %}{{ a | join(a | join(a)) }}",
    "lists in lists": NESTED,
    "macros that call twice": MACROS,
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a large number": "{{ (2 ** 64) ** 64 }}",
    "products": "{% set n = 2 ** 60 %}" + "{% set n = n * n %}" * 40 + "{{ n }}",
    "filler text": "{{ lipsum(10 ** 9) }}",
    "work in each round": (
        "{% set t = 'abcdefghij' * 10000 %}{% for a in range(900) %}{% if t | list | sort | join %}{% endif %}{% endfor %}"
    ),
    "a hidden name": "{% set __step__ = 1 %}{% for a in range(9) %}{% endfor %}",
    "an object's inside": "{{ ''.__class__.__mro__ }}",
    "another file": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}",
    "a printed list": "{{ ['a'] * 3 }}",
}


@pytest.mark.parametrize("template", HOSTILE.values(), ids=list(HOSTILE))
def test_a_template_beyond_its_bounds_is_refused_at_its_line(template: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError) as caught:
        render("acme/pipelines/own/lines.sql", f"SELECT 1\n{template}", {})
    assert time.process_time() - began < 1.0, "what is refused is refused before the work is done"
    (problem,) = caught.value.problems
    assert problem.file == "acme/pipelines/own/lines.sql"
    assert problem.line == 2, problem
    assert "template" in problem.message


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{% if on %}a{% else %}b{% endif %}", "a"),
        ("{% for c in ['a', 'b'] %}{{ c }},{% endfor %}", "a,b,"),
        ("{% for n, t in [('a', 'INT64'), ('b', 'STRING')] %}{{ n }} {{ t }};{% endfor %}", "a INT64;b STRING;"),
        ("{{ ['a', table] | join(', ') }}", "a, costs"),
        ("{{ 'x_' ~ table ~ '_' ~ number }}", "x_costs_7"),
        ("{{ 'x_' + table }}", "x_costs"),
        ("{{ number * 2 + 1 }} {{ number % 4 }} {{ 2 ** 10 }}", "15 3 1024"),
        ("{{ table | upper | replace('S', 'Z') }}", "COZTZ"),
        ("{{ table.upper() }}", "COSTS"),
        ("{% set cs = ['a'] + ['b'] %}{{ cs | length }}{{ cs | first }}", "2a"),
        ("{% macro m(a, b='z') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', b='y') }}", "xzxy"),
        ("{% for i in range(3) %}{{ loop.index }}{{ ',' if not loop.last }}{% endfor %}", "1,2,3"),
        ("{{ {'a': 'b'}['a'] }}{{ {'a': 'b'}.get('a') }}", "bb"),
        ("{{ table if on else 'other' }}{{ 'yes' if table in ['costs'] }}", "costsyes"),
        ("{% if bound == 'value' and bound %}c{% endif %}", "c"),
        ("{% if bound | default('x') == 'value' %}d{% endif %}", "d"),
        ("{% macro m(a) %}{{ 'is' if a == 'value' }}{% endmacro %}{{ m(bound) }}", "is"),
        ("{% for v in ['value', 'other'] if v == bound %}{{ v }}{% endfor %}", "value"),
        ("{{ '0123456789' * 3 }}", "012345678901234567890123456789"),
    ],
)
def test_ordinary_templates_render(template: str, rendered: str) -> None:
    given = {"on": True, "table": "costs", "number": 7, "bound": BoundOnly("value")}
    assert render("x.sql", template, given) == rendered


@pytest.mark.parametrize("template", ["{{ bound }}", "{{ bound ~ 'x' }}", "{{ bound | upper }}"])
def test_a_bound_value_is_never_printed(template: str) -> None:
    with pytest.raises(TemplateError, match="never printed into SQL"):
        render("x.sql", template, {"bound": BoundOnly("value")})


def test_a_filter_that_templates_do_not_have_is_named_with_the_nearest_one() -> None:
    with pytest.raises(TemplateError) as caught:
        render("x.sql", "SELECT 1\n, {{ 'a' | uper }}", {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.suggestion) == (2, "upper")
    assert "join" in (problem.expected or "")


def test_a_second_rendering_has_steps_of_its_own() -> None:
    template = "{% for a in range(900) %}{{ a }}{% endfor %}"
    assert len({render("x.sql", template, {}) for _ in range(5)}) == 1
