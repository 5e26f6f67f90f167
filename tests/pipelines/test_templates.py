"""The rules of a pipeline's files: each mistake is said with file, line and sentence."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from convergence_assets.assets.structure import declared_structural
from convergence_assets.pipelines import catalog
from convergence_assets.pipelines.catalog import library, load_template
from convergence_assets.pipelines.compile import compile_sql
from convergence_assets.pipelines.models import ExpectationSpec, SuiteSpec
from convergence_assets.pipelines.problems import Problem, TemplateError
from convergence_assets.pipelines.suites import RESERVED_CHECKS, check_names

LIBRARY = Path(catalog.__file__).parent / "library" / "gcp_billing"
Files = dict[str, str]
Found = Callable[[Files], list[Problem]]

RULES: list[tuple[str, str, str, str]] = [
    # file, what stands there, what is written in its place, what is said
    ("pipeline.yaml", "name: costs\n", "name: cost\n", "'cost' is not the folder's name; expected 'costs'"),
    ("pipeline.yaml", "steps:", "stpes:", "stpes: unknown key.*did you mean 'steps'"),
    ("pipeline.yaml", "kind: bigquery", "kind: bigqery", "'bigqery' is not a step kind.*did you mean 'bigquery'"),
    ("pipeline.yaml", "    table: costs_daily", "    tabel: costs_daily", "unknown key.*did you mean 'table'"),
    ("pipeline.yaml", "type: NUMERIC}\n      - name: project", "type: DECIMAL}\n      - name: project",
     "'DECIMAL' is not known; expected one of.*NUMERIC"),
    ("pipeline.yaml", "mode: REQUIRED", "mode: REQUIERD", "did you mean 'REQUIRED'"),
    ("pipeline.yaml", "partition_column: day", "partition_column: days", "days is no column of costs_daily"),
    ("pipeline.yaml", "name: day, type: DATE, mode: REQUIRED", "name: day, type: TIMESTAMP, mode: REQUIRED",
     "the partition column is TIMESTAMP; it must be a DATE"),
    ("pipeline.yaml", "name: day, type: DATE, mode: REQUIRED", "name: day, type: DATE, mode: REPEATED",
     "the partition column is REPEATED"),
    ("pipeline.yaml", "clustering: [region]", "clustering: [regoin]", "no column of costs_daily; did you mean 'region'"),
    ("pipeline.yaml", "clustering: [region]", "clustering: [region, region]", "region stands twice"),
    ("pipeline.yaml", "clustering: [region]", "clustering: [region, day, cost, region, day]", "5 items; expected at most 4"),
    ("pipeline.yaml", "clustering: [region]", "partition_expiration_days: 0", "greater than 0"),
    ("pipeline.yaml", "{name: region, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - name",
     "{name: Day, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - name", "column Day is declared twice"),
    ("pipeline.yaml", "fields: [{name: id, type: STRING}]", "fields: [{name: id, type: STRING}, {name: ID, type: STRING}]",
     "column ID is declared twice"),
    ("pipeline.yaml", "        fields: [{name: id, type: STRING}]\n", "", "RECORD column project has no fields"),
    ("pipeline.yaml", "type: RECORD", "type: STRING", "only a RECORD has fields"),
    ("pipeline.yaml", "    columns:\n      - {name: day, type: DATE, mode: REQUIRED}",
     "    columns:\n      - {name: _PARTITION_x, type: DATE}\n      - {name: day, type: DATE, mode: REQUIRED}",
     "_PARTITION_x has a prefix that BigQuery reserves"),
    ("pipeline.yaml", "    table: costs_daily", "    table: x_meta_runs", "are the run ledger's"),
    ("pipeline.yaml", "region: {type: string, default: eu", "region: {type: string, default: asia", "'asia' is not allowed"),
    ("pipeline.yaml", "floor: {type: number, default: 0.5}", "floor: {type: number, default: lots}", "'lots' is not a number"),
    ("pipeline.yaml", "floor: {type: number, default: 0.5}", "timezone: {type: string, default: UTC}",
     "@timezone is bound by every run"),
    ("pipeline.yaml", "{{ export }}", "{{ exprot }}", "unknown template variable.*did you mean 'export'"),
    ("pipeline.yaml", "{{ export }}", "bills", "'bills' is no table name"),
    ("costs_daily.sql", "FROM bills", "FROM bill", "no step makes this table.*did you mean 'bills'"),
    ("costs_daily.sql", "FROM bills", "FROM other.bills", "tables are written bare"),
    ("costs_daily.sql", "SELECT\n", "SELECT 1 AS a; SELECT\n", "found 2 statements; expected one SELECT"),
    ("costs_daily.sql", "SELECT\n", "CREATE TEMP FUNCTION f(x INT64) AS ((SELECT x FROM bills)); SELECT\n",
     "a temporary function that reads bills; a function reads its arguments alone"),
    ("costs_daily.sql", "FROM bills", "FROM costs_daily", "the step reads the table it makes"),
    ("costs_daily.sql", "@floor", "@flor", "@flor: unknown query parameter.*did you mean 'floor'"),
    ("costs_daily.sql", "@floor", "{{ flor }}", "flor: unknown template variable"),
    ("costs_daily.sql", "@floor", "{{ floor }}", "bound as @name and never printed"),
    ("costs_daily.sql", "@floor", "{{ region | upper }}", "bound as @name and never printed"),
    ("costs_daily.sql", "@floor", "{{ '{}'.format(region) }}", "attribute 'format' of 'str' object is unsafe"),
    ("costs_daily.sql", "@floor", "{{ floor | int }}", "bound as @name and never printed"),
    ("costs_daily.sql", "@floor", "{% if region %}1", "template: .*endif"),
    ("costs_daily.sql", "@floor", "{{ region.__class__ }}", "template: "),
    ("costs_daily.sql", "SUM(cost) AS cost", "SUM(csot) AS cost", "csot: no column of bills; did you mean 'cost'"),
    ("costs_daily.sql", "SUM(cost) AS cost", "SUM(cost) AS costs", "table costs_daily declares no such column"),
    ("costs_daily.sql", "    region,\n", "", "region: declared by table costs_daily and not returned here"),
    ("costs_daily.sql", "SUM(cost) AS cost", "SUM(cost)", "result column 3 has no name"),
    ("costs_daily.sql", "    region,\n", "    region,\n    region,\n", "returned twice"),
    ("costs_daily.sql", "SUM(cost)", "SUM(cost", "SQL syntax"),
    ("costs_daily.sql", "SUM(cost)", "SUM(cost) * 'x'", "No matching signature for operator"),
    ("costs_daily.sql", "SUM(cost)", "SUM('cost)", "SQL syntax"),
    ("expectations/costs_daily.yaml", "not_be_null", "not_be_nul", "did you mean 'expect_column_values_to_not_be_null'"),
    ("expectations/costs_daily.yaml", "column: day", "colunm: day", "unknown argument.*did you mean 'column'"),
    ("expectations/costs_daily.yaml", "column: day", "column: dya", "no column of the table.*did you mean 'day'"),
    ("expectations/costs_daily.yaml", "column: day", "column: [day]", "is not text"),
    ("expectations/costs_daily.yaml", "column: day", "column: day, mostly: 95", "95 is not a share"),
    ("expectations/costs_daily.yaml", "column: day}", "column: day}\n    severty: info", "unknown key.*did you mean 'severity'"),
    ("expectations/costs_daily.yaml", "column: day}", "column: day}\n    meta: {name: a b}", "'a b' is no check name"),
    ("expectations/costs_daily.yaml", "column: day}", "column: day}\n    meta: {name: partition_is_not_empty}",
     "a check that every table has"),
    ("expectations/costs_daily.yaml", "expectations:", "expectatons:", "did you mean 'expectations'"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_match_regex\n    kwargs: {column: region, regex: '['}", "no regular expression"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_match_regex\n    kwargs: {column: region, regex: 'eu(?!-west)'}", "look-around is not in RE2"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_match_json_schema\n    kwargs: {column: region, json_schema: {items: {$ref: 'file:///x'}}}", "lies elsewhere"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_be_in_set\n    kwargs: {column: region, value_set: eu}", "'eu' is not a list"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_be_between\n    kwargs: {column: cost, min_value: 5, max_value: 1}", "5 is above max_value 1"),
    ("expectations/costs_daily.yaml", "values_to_not_be_null\n    kwargs: {column: day}",
     "values_to_be_between\n    kwargs: {column: cost}", "neither min_value nor max_value"),
    ("expectations/costs_daily.yaml", "expect_column_values_to_not_be_null\n    kwargs: {column: day}",
     "unexpected_rows_expectation\n    kwargs: {unexpected_rows_query: SELECT cost FROM {{batch}} WHERE cost < 0}",
     "not YAML|does not return the partition column day"),
    ("expectations/costs_daily.yaml", "expect_column_values_to_not_be_null\n    kwargs: {column: day}",
     "unexpected_rows_expectation\n    kwargs:\n      unexpected_rows_query: SELECT day FROM {batch} WHERE csot < 0",
     "csot: no column of .*did you mean 'cost'"),
]  # fmt: skip


def test_the_files_without_a_mistake_are_accepted(files: Files, problems: Found) -> None:
    assert problems(files) == []


@pytest.mark.parametrize(("file", "old", "new", "message"), RULES, ids=[f"{r[0]}-{r[3]}" for r in RULES])
def test_a_mistake_in_a_pipeline_is_named_with_file_and_line(
    files: Files, problems: Found, file: str, old: str, new: str, message: str
) -> None:
    assert old in files[file]
    first = files[file][: files[file].index(old)].count("\n") + 1
    files[file] = files[file].replace(old, new, 1)
    found = problems(files)
    matching = [p for p in found if re.search(message, p.render())]
    assert matching, [p.render() for p in found]
    near = range(first - 1, first + new.count("\n") + 3)
    assert any(p.file.endswith(file) and p.line in near for p in found), [p.render() for p in found]


def test_a_parameter_that_is_missing_or_not_allowed_is_said_in_the_tenants_file(files: Files, problems: Found) -> None:
    files["tenant.yaml"] = files["tenant.yaml"].replace("{export: raw.bills}", "{region: asia}")
    problems_shown = [p.render().rpartition("acme/")[2] for p in problems(files)]
    assert any(
        line.startswith("tenant.yaml:6: pipelines[0].with.region: 'asia' is not allowed") for line in problems_shown
    ), problems_shown
    assert any("parameter 'export' is missing; expected dataset.table" in line for line in problems_shown), (
        problems_shown
    )


@pytest.mark.parametrize("given", ["1e30", "'NaN'", "'1.0000000001'", "true", "[1]"])
def test_a_number_has_to_fit_numeric(files: Files, problems: Found, given: str) -> None:
    files["tenant.yaml"] = files["tenant.yaml"].replace("raw.bills}", f"raw.bills, floor: {given}}}")
    assert [p.key for p in problems(files)] == ["pipelines[0].with.floor"]


def test_a_value_may_steer_a_template_and_is_compared_by_its_value(files: Files, problems: Found) -> None:
    files["costs_daily.sql"] = files["costs_daily.sql"].replace(
        "@floor", "{% if region == 'eu' and region in ['eu'] and floor < 1 %}0{% else %}oops{% endif %}"
    )
    assert problems(files) == []


def test_steps_that_read_one_another_are_named_in_a_circle(files: Files, problems: Found) -> None:
    step = files["pipeline.yaml"].partition("steps:\n")[2]
    files["pipeline.yaml"] += step.replace("costs_daily", "costs_again")
    files["costs_again.sql"] = files["costs_daily.sql"].replace("FROM bills", "FROM costs_daily")
    files["costs_daily.sql"] = files["costs_daily.sql"].replace("FROM bills", "FROM costs_again")
    (problem,) = problems(files)
    assert "circle: costs_" in problem.message
    assert problem.file.endswith(".sql")
    assert problem.line == 5


def test_an_expectation_that_reads_a_later_table_is_a_circle_too(files: Files, problems: Found) -> None:
    step = files["pipeline.yaml"].partition("steps:\n")[2]
    files["pipeline.yaml"] += step.replace("costs_daily", "costs_again")
    files["costs_again.sql"] = files["costs_daily.sql"].replace("FROM bills", "FROM costs_daily")
    files["expectations/costs_daily.yaml"] += (
        "  - type: unexpected_rows_expectation\n    kwargs:\n      unexpected_rows_query: |\n"
        "        SELECT b.day FROM {batch} AS b\n        INNER JOIN costs_again AS a ON a.day = b.day\n"
    )
    (problem,) = problems(files)
    assert "circle" in problem.message
    assert (problem.file.rpartition("/")[2], problem.line) == ("costs_daily.yaml", 8)


def test_two_steps_cannot_make_one_table(files: Files, problems: Found) -> None:
    files["pipeline.yaml"] += files["pipeline.yaml"].partition("steps:\n")[2]
    assert any("two steps make costs_daily (the other is in line 18)" in p.message for p in problems(files))


def test_a_path_of_files_names_the_day_and_nothing_unknown(files: Files, problems: Found) -> None:
    files["pipeline.yaml"] = files["pipeline.yaml"].replace(
        "kind: bigquery", "kind: files\n    format: csv\n    path: X"
    )
    cases = {
        "folder/day.csv": "path has no {date}",
        '"{date}/{hour}.csv"': "path has {hour}",
        '"{{ regoin }}/{date}.csv"': "unknown template variable",
    }
    for path, expected in cases.items():
        found = problems({**files, "pipeline.yaml": files["pipeline.yaml"].replace("path: X", f"path: {path}")})
        assert [p.line for p in found if expected in p.message] == [19], [p.render() for p in found]
    assert not problems(
        {
            **files,
            "pipeline.yaml": files["pipeline.yaml"].replace(
                "path: X", 'path: "{{ landing }}/{{ region }}/{date}/*.csv"'
            ),
        }
    )


def test_broken_suites_are_said_along_with_a_broken_pipeline(files: Files, problems: Found) -> None:
    files["pipeline.yaml"] = files["pipeline.yaml"].replace("steps:", "stpes:")
    files["expectations/costs_daily.yaml"] = files["expectations/costs_daily.yaml"].replace("kwargs", "kwarks")
    problem = "\n".join(p.render() for p in problems(files))
    assert "stpes" in problem
    assert "kwarks" in problem


def test_missing_and_stray_files_are_said(files: Files, problems: Found) -> None:
    files["costs_dialy.sql"] = files.pop("costs_daily.sql")
    files["expectations/costs_dialy.yaml"] = files.pop("expectations/costs_daily.yaml")
    problems_shown = [p.render() for p in problems(files)]
    assert any("there is no costs_daily.sql" in p and "did you mean 'costs_dialy.sql'" in p for p in problems_shown), (
        problems_shown
    )
    assert any("no step makes a table 'costs_dialy'" in p for p in problems_shown), problems_shown
    assert load_template("costs", "library/costs", {}).problems[0].message == "no pipeline.yaml in this folder"


def test_a_name_misspelled_where_it_is_given_is_said_there(files: Files, problems: Found) -> None:
    files["costs_daily.sql"] = "WITH sums AS (\n    SELECT * FROM bills\n)\n\n" + files["costs_daily.sql"].replace(
        "FROM bills", "FROM summs"
    )
    found = {(p.line, p.key) for p in problems(files)}
    assert found >= {(1, "sums"), (9, "summs")}


def test_a_with_clause_may_carry_the_name_of_the_table_it_reads(files: Files, problems: Found) -> None:
    files["costs_daily.sql"] = "WITH bills AS (SELECT * FROM bills)\n\n" + files["costs_daily.sql"]
    assert problems(files) == []


def test_dates_in_arguments_are_the_text_that_json_has(files: Files, problems: Found) -> None:
    text = "expectations:\n  - type: expect_column_values_to_be_between\n    kwargs: {column: day, min_value: 2026-01-01}\n"
    files["expectations/costs_daily.yaml"] = text
    assert problems(files) == []
    loaded = load_template("costs", "x", {k: v.encode() for k, v in files.items() if k != "tenant.yaml"})
    assert loaded.template is not None
    assert loaded.template.suites["costs_daily"].expectations[0].kwargs["min_value"] == "2026-01-01"


def test_repeated_checks_get_names_of_their_own() -> None:
    named = [ExpectationSpec(type="expect_x", kwargs={}, meta={"name": n}) for n in ("a", "a", "a_2", "a")]
    names = check_names(SuiteSpec(expectations=tuple(named)))
    assert names[:2] == ("a", "a_2")
    assert len(set(names)) == 4


def test_the_reserved_check_names_are_those_of_every_table() -> None:
    assert {s.name for s in declared_structural("fail", reads_pipelines=True, reads_sources=True)} == RESERVED_CHECKS


def test_deeply_nested_sql_is_a_problem_and_not_a_crash(files: Files, problems: Found) -> None:
    files["costs_daily.sql"] = f"SELECT {'(' * 3000}1{')' * 3000} AS cost FROM bills"
    (problem,) = problems(files)
    assert "nested more than 60 levels deep" in problem.message


def test_the_library_ships_without_problems() -> None:
    assert [p.render() for loaded in library().values() for p in loaded.problems] == []


def test_a_text_that_stands_in_two_folders_is_read_once_and_its_mistakes_are_said_in_both() -> None:
    for file in ("one/a.sql", "two/b.sql"):
        with pytest.raises(TemplateError) as raised:
            compile_sql(file, "SELECT 1 AS a\nFROM t,\n{{ missing }}", frozenset())
        assert [(p.file, p.line) for p in raised.value.problems] == [(file, 3)]
        with pytest.raises(TemplateError) as raised:
            compile_sql(file, "SELECT 1 AS a\nFRM t", frozenset())
        assert [(p.file, p.line) for p in raised.value.problems] == [(file, 2)]
        assert compile_sql(file, "SELECT a FROM {{ t }}", frozenset({("t", "x")})).file == file
    shipped = library()["gcp_billing"].template
    assert shipped is not None
    files = {file.relative_to(LIBRARY).as_posix(): file.read_bytes() for file in LIBRARY.rglob("*.*")}
    for folder in ("tenants/acme/pipelines/gcp_billing", "tenants/globex/pipelines/gcp_billing"):
        template = load_template("gcp_billing", folder, files).template
        assert template is not None
        assert template.spec is shipped.spec
        assert template.folder == folder
        sources = [template.source, *template.suite_sources.values()]
        assert {source.file.startswith(f"{folder}/") for source in sources} == {True}
