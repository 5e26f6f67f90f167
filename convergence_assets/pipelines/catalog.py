"""Pipeline templates: a folder's files to a checked template; the library that ships."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from convergence_assets.pipelines import rule_tables
from convergence_assets.pipelines.compile import RUN_PARAMETERS
from convergence_assets.pipelines.models import BigQueryStep, ParameterSpec, PipelineSpec, SuiteSpec, TableStep
from convergence_assets.pipelines.parameters import expected, typed
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.reference import is_reference, relations
from convergence_assets.pipelines.suites import suite_problems
from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import Source, read_yaml, spelled


@dataclass(frozen=True)
class PipelineTemplate:
    """A checked `pipeline.yaml` with its SQL templates and suites by table; `folder` as messages name it."""

    name: str
    folder: str
    spec: PipelineSpec
    source: Source = field(compare=False, hash=False)
    sql: Mapping[str, str] = field(hash=False)
    late_data_sql: Mapping[str, str] = field(hash=False)
    suites: Mapping[str, SuiteSpec] = field(hash=False)
    suite_sources: Mapping[str, Source] = field(compare=False, hash=False)
    digests: Mapping[str, str] = field(hash=False)
    """By table a hash of its declaration and its suite."""
    reference: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By template variable the relation of a reference table."""

    def sql_file(self, step: BigQueryStep) -> str:
        """The step's SQL file as messages name it."""
        return f"{self.folder}/{step.sql or f'{step.table}.sql'}"

    def late_data_file(self, step: BigQueryStep) -> str:
        """The file of the step's question for late data as messages name it."""
        assert step.late_data
        return f"{self.folder}/{step.late_data.sql}"


@dataclass(frozen=True)
class LoadedTemplate:
    """A folder that was read: its template where it is right, its problems where not."""

    name: str
    template: PipelineTemplate | None
    problems: tuple[Problem, ...]


def load_template(name: str, folder: str, contents: Mapping[str, bytes]) -> LoadedTemplate:
    """Check a template folder given as relative path -> bytes; every problem is reported, none raised."""
    items = tuple(sorted(contents.items()))
    # Tenants share templates by copying them too: the same text is read once for all copies.
    read = _load_files(name, "", items)
    if read.template is None:
        return _load_files(name, folder, items)
    template = read.template
    moved = {table: _source_in(source, folder) for table, source in template.suite_sources.items()}
    return replace(
        read, template=replace(template, folder=folder, source=_source_in(template.source, folder), suite_sources=moved)
    )


def _source_in(source: Source, folder: str) -> Source:
    return replace(source, file=folder + source.file)


@lru_cache(maxsize=2048)
def _load_files(name: str, folder: str, items: tuple[tuple[str, bytes], ...]) -> LoadedTemplate:
    contents = dict(items)
    if "pipeline.yaml" not in contents:
        return LoadedTemplate(name, None, (Problem(folder, None, "", "no pipeline.yaml in this folder"),))
    source = read_yaml(f"{folder}/pipeline.yaml", contents["pipeline.yaml"])
    spec, problems = check(source, PipelineSpec)
    if spec is None:
        return LoadedTemplate(name, None, (*problems, *_unreadable_suites(folder, contents)))
    problems = list(_spec_problems(name, spec, source))
    sql: dict[str, str] = {}
    late_data_sql: dict[str, str] = {}
    suites: dict[str, SuiteSpec] = {}
    suite_sources: dict[str, Source] = {}
    for i, step in enumerate(spec.steps):
        if isinstance(step, BigQueryStep):
            texts = [(sql, step.sql or f"{step.table}.sql", "table", "sql")]
            if step.late_data:
                texts.append((late_data_sql, step.late_data.sql, "late_data", "late_data.sql"))
            for texts_by_table, file, key, shown in texts:
                try:
                    texts_by_table[step.table] = contents[file].decode("utf-8")
                except KeyError:
                    written = [f for f in contents if f.endswith(".sql")]
                    problems.append(
                        Problem(source.file, source.line(("steps", i, key)), f"steps[{i}].{shown}",
                                f"there is no {file}", listing(written), nearest(file, written))
                    )  # fmt: skip
                except UnicodeDecodeError as error:
                    line = contents[file][: error.start].count(b"\n") + 1
                    problems.append(Problem(f"{folder}/{file}", line, "", "not UTF-8 text", "a UTF-8 file"))
        suite_files = [
            f for f in (f"expectations/{step.table}.yaml", f"expectations/{step.table}.json") if f in contents
        ]
        if len(suite_files) > 1:
            problems.append(
                Problem(
                    f"{folder}/{suite_files[1]}",
                    1,
                    "",
                    f"{suite_files[0]} says the same table's suite",
                    "one of the two",
                )
            )
        for file in suite_files[:1]:
            suite_source = read_yaml(f"{folder}/{file}", contents[file])
            suite, suite_errors = check(suite_source, SuiteSpec)
            problems += suite_errors
            if suite is not None:
                problems += suite_problems(suite_source, ("expectations",), suite.expectations, step)
                problems += _absent_columns(suite_source, suite, step)
                suites[step.table], suite_sources[step.table] = suite, suite_source
    problems += _stray_suites(folder, spec, contents)
    reference, new_problems = relations(folder, contents)
    problems += new_problems
    digests = {step.table: _digest(step, suites.get(step.table)) for step in spec.steps}
    template = PipelineTemplate(
        name, folder, spec, source, sql, late_data_sql, suites, suite_sources, digests, reference
    )
    return LoadedTemplate(name, None if problems else template, tuple(problems))


def library() -> Mapping[str, LoadedTemplate]:
    """The templates that ship with the package, by name."""
    return templates_in(files("convergence_assets.pipelines").joinpath("library"))


def templates_in(root: Traversable) -> Mapping[str, LoadedTemplate]:
    """The templates in the folders of a library, by name."""
    return {
        folder.name: load_template(folder.name, f"library/{folder.name}", dict(_contents(folder)))
        for folder in sorted(root.iterdir(), key=lambda f: f.name)
        if folder.is_dir() and not folder.name.startswith(("_", "."))
    }


def _contents(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _contents(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".sql", ".json")) or is_reference(f"{prefix}{entry.name}"):
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _spec_problems(name: str, spec: PipelineSpec, source: Source) -> Iterator[Problem]:
    if spec.name != name:
        yield Problem(
            source.file, source.line(("name",)), "name", f"{spec.name!r} is not the folder's name", f"'{name}'"
        )
    tables: dict[str, int] = {}
    for i, step in enumerate(spec.steps):
        line = source.line(("steps", i, "table"))
        if step.table.lower() in tables:
            first = source.line(("steps", tables[step.table.lower()], "table"))
            yield Problem(
                source.file, line, f"steps[{i}].table", f"two steps make {step.table} (the other is in line {first})"
            )
        tables[step.table.lower()] = i
        if step.table.lower() in {name.lower() for name in spec.sources}:
            yield Problem(source.file, line, f"steps[{i}].table", f"{step.table} is also the name of a source")
    for parameter, parameter_spec in spec.parameters.items():
        yield from _parameter_problems(parameter, parameter_spec, source)


def _parameter_problems(name: str, spec: ParameterSpec, source: Source) -> Iterator[Problem]:
    def problem(*key: str | int, message: str, meant: str) -> Problem:
        at = ("parameters", name, *key)
        return Problem(source.file, source.line(at), spelled(at), message, meant)

    if name in RUN_PARAMETERS:
        yield problem(message=f"@{name} is bound by every run", meant="another name")
    allowed = []
    for i, value in enumerate(spec.allowed or ()):
        try:
            allowed.append(typed(spec, value))
        except ValueError as error:
            yield problem("allowed", i, message=str(error), meant=expected(spec))
    if spec.default is None:
        return
    try:
        if typed(spec, spec.default) not in allowed and spec.allowed is not None:
            yield problem("default", message=f"{spec.default!r} is not allowed", meant=listing(map(str, allowed)))
    except ValueError as error:
        yield problem("default", message=str(error), meant=expected(spec))


def _unreadable_suites(folder: str, contents: Mapping[str, bytes]) -> Iterator[Problem]:
    for file, raw in contents.items():
        if file.startswith("expectations/"):
            yield from check(read_yaml(f"{folder}/{file}", raw), SuiteSpec)[1]


def _digest(step: TableStep, suite: SuiteSpec | None) -> str:
    fields = {"type", "kwargs", "severity", "meta"}
    checks = [e.model_dump(mode="json", include=fields) for e in suite.expectations] if suite else []
    rules = [rule_tables.digest(suite.rules)] if suite and suite.rules else []
    # A first version is what a step was before there were versions.
    left_out = {"tests", "version"} if step.version == 1 else {"tests"}
    text = json.dumps([step.model_dump(mode="json", exclude=left_out), checks, *rules], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _absent_columns(source: Source, suite: SuiteSpec, step: TableStep) -> Iterator[Problem]:
    if suite.rules is None:
        return
    declared = [column.name for column in step.columns]
    for rule in rule_tables.missing_columns(suite.rules, declared):
        [column] = rule.columns
        message = f"{step.table} has no column {column}, which the rules of {suite.rules} demand ({rule.id})"
        yield Problem(source.file, source.line(("rules",)), "rules", message, column, nearest(column, declared))


def _stray_suites(folder: str, spec: PipelineSpec, contents: Mapping[str, bytes]) -> Iterator[Problem]:
    tables = {step.table for step in spec.steps}
    for file in contents:
        table = file.removeprefix("expectations/").rsplit(".", 1)[0]
        if file.startswith("expectations/") and table not in tables:
            yield Problem(
                f"{folder}/{file}", 1, "", f"no step makes a table {table!r}", listing(tables), nearest(table, tables)
            )
