"""`convergence certify` on the local BigQuery server: a fit project, and faults of a project that it names."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud import bigquery

from convergence_assets.assets.schema_mapping import source_schema, table_schema, target_table
from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.diagnostics.certify.checks import AFTER, CHECKS
from convergence_assets.diagnostics.certify.project import ProjectSetup
from convergence_assets.diagnostics.doctor.examine import Finding, examine
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import TableRef
from tests import commands
from tests.assets.project import TENANTS
from tests.certify.faulty_project import FaultyProject, faulty_project
from tests.clean_environment import clean_environment
from tests.peer.peer_server import PROJECT, Peer
from tests.warehouse.bigquery.fake_bigquery import Refusal

pytestmark = [pytest.mark.peer, pytest.mark.slow]

ACCOUNT = "convergence-acme@a-project.iam.gserviceaccount.com"


@dataclass
class Project:
    """A tenant whose tables exist, on a server whose answers a test may change."""

    setup: ProjectSetup
    faults: FaultyProject
    client: bigquery.Client

    @property
    def tenant(self) -> Tenant:
        return self.setup.registry.tenants["acme"]

    @property
    def table(self) -> str:
        return f"{PROJECT}.acme.{self.tenant.pipelines[0].steps[0].table}"

    def findings(self, *names: str) -> list[Finding]:
        """Of these checks, of all where none is named, as a new command would."""
        setup = ProjectSetup(self.setup.settings, self.setup.open_instance, self.setup.dagster_home)
        (self.setup.settings.home / "dry-runs.json").unlink(missing_ok=True)  # estimates are kept for a day
        return list(examine({name: CHECKS[name] for name in names or CHECKS}, setup, AFTER, 60.0))

    def the_one(self, name: str) -> Finding:
        (finding,) = [finding for finding in self.findings(name) if finding.state != "ok"]
        return finding


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = Path(shutil.copytree(TENANTS, tmp_path / "tenants"))
    with (root / "acme" / "tenant.yaml").open("a") as file:
        file.write("bigquery: {location: EU}\n")
    return root


@pytest.fixture
def project(peer: Peer, tmp_path: Path, root: Path) -> Iterator[Project]:
    with faulty_project(peer.variables["BIGQUERY_EMULATOR_HOST"]) as faults, peer.client() as client:
        settings = replace(peer.settings(tmp_path / "home"), tenants=str(root), emulator=faults.url)
        setup = ProjectSetup(settings, dg.DagsterInstance.ephemeral, tmp_path)
        made = Project(setup, faults, client)
        with open_bigquery(settings, "EU") as warehouse:
            for pipeline in made.tenant.pipelines:
                for step in pipeline.steps:
                    warehouse.ensure_table(target_table(made.tenant, step.table), table_schema(step.spec))
                    for source in step.sources.values():
                        warehouse.ensure_table(TableRef.parse(source.tables[0]), source_schema(source.spec))
        yield made


def test_a_fit_project_passes_every_check_and_nothing_is_written_or_billed(project: Project) -> None:
    before = everything(project.client)
    findings = project.findings()
    # The variable of the tests' own server is one that the platform does not read.
    assert {f.check: f for f in findings if f.state != "ok" and "CONVERGENCE_PEER" not in f.seen} == {}
    assert {finding.check for finding in findings} == set(CHECKS)
    assert everything(project.client) == before


def everything(client: bigquery.Client) -> dict[str, str]:
    """Every table with the mark of its last change."""
    return {
        f"{dataset.dataset_id}.{table.table_id}": str(client.get_table(table).etag)
        for dataset in client.list_datasets(include_all=True)
        for table in client.list_tables(dataset.reference)
    }


def denied(permission: str) -> Callable[[Project], None]:
    return lambda project: project.faults.denied.add(permission)


def refused_job(reason: str, message: str) -> Callable[[Project], None]:
    def plant(project: Project) -> None:
        def refuse(method: str, path: str, body: Any, account: str) -> Refusal | None:
            is_job = method == "POST" and "/jobs" in path and not body.get("configuration", {}).get("dryRun")
            return Refusal(403, reason, message) if is_job else None

        project.faults.refuse = refuse

    return plant


def refused_at(part: str, reason: str, message: str) -> Callable[[Project], None]:
    """A refusal of each request whose path, or statement, has this part."""

    def plant(project: Project) -> None:
        def refuse(method: str, path: str, body: Any, account: str) -> Refusal | None:
            return Refusal(403, reason, message) if part in path or part in json.dumps(body) else None

        project.faults.refuse = refuse

    return plant


def changed(part: str, change: Callable[[Any], None]) -> Callable[[Project], None]:
    """Answers to requests whose path has this part, as another project would give them."""

    def plant(project: Project) -> None:
        def changed_answer(method: str, path: str, answer: Any) -> Any:
            if part in path:
                change(answer)
            return answer

        project.faults.change = changed_answer

    return plant


def dataset_in_the_us(project: Project) -> None:
    project.client.delete_dataset("acme", delete_contents=True)
    dataset = bigquery.Dataset(f"{PROJECT}.acme")
    dataset.location = "US"
    project.client.create_dataset(dataset)


def source_in_the_us(project: Project) -> None:
    changed("/datasets/acme_export", lambda answer: answer.__setitem__("location", "US"))(project)


def sandbox(project: Project) -> None:
    dataset = project.client.get_dataset("acme")
    dataset.default_table_expiration_ms = 60 * 86_400_000
    project.client.update_dataset(dataset, ["default_table_expiration_ms"])


def partitions_that_expire(project: Project) -> None:
    table = project.client.get_table(project.table)
    table.time_partitioning.expiration_ms = 30 * 86_400_000
    project.client.update_table(table, ["time_partitioning"])


def a_table_that_expires(project: Project) -> None:
    table = project.client.get_table(project.table)
    table.expires = datetime.now(UTC) + timedelta(days=3)
    project.client.update_table(table, ["expires"])


def another_column(project: Project) -> None:
    table = project.client.get_table(project.table)
    table.schema = [*table.schema, bigquery.SchemaField("added_by_hand", "STRING")]
    project.client.update_table(table, ["schema"])


def no_label(project: Project) -> None:
    changed(f"/tables/{project.table.rpartition('.')[2]}", lambda answer: answer.__setitem__("labels", {}))(project)


def no_source(project: Project) -> None:
    project.client.delete_dataset("acme_export", delete_contents=True)


def small_quota(project: Project) -> None:
    project.faults.query_mebibytes_per_day = 1
    million(project)


def million(project: Project) -> None:
    """Each dry run reads a TiB."""

    def reads(answer: Any) -> None:
        if answer.get("configuration", {}).get("dryRun"):
            answer["statistics"]["totalBytesProcessed"] = str(2**40)
            answer["statistics"].setdefault("query", {})["totalBytesProcessed"] = str(2**40)

    changed("/jobs", reads)(project)


def no_impersonation(project: Project) -> None:
    file = Path(project.setup.settings.tenants, "_defaults.yaml")
    file.write_text(file.read_text() + f"service_account: '{ACCOUNT.replace('acme', '{tenant}')}'\n")
    project.setup.__dict__.pop("registry", None)

    def refuse(method: str, path: str, body: Any, account: str) -> Refusal | None:
        message = f"Permission 'iam.serviceAccounts.getAccessToken' denied on resource {ACCOUNT}"
        return Refusal(403, "forbidden", message) if account == ACCOUNT else None

    project.faults.refuse = refuse


def labels_lost(project: Project) -> None:
    changed("/jobs/", lambda answer: answer.get("configuration", {}).pop("labels", None))(project)


def may_not_update(project: Project) -> None:
    def only_read(answer: Any) -> None:
        answer["permissions"] = ["bigquery.tables.getData"]

    changed(":testIamPermissions", only_read)(project)


EXPORT = "acme_export.bills"
FAULTS: dict[str, tuple[str, Callable[[Project], None], str, str]] = {
    "a permission of the project is missing": (
        "project permissions", denied("bigquery.jobs.listAll"), "lacks bigquery.jobs.listAll in project peer-project",
        "--role=roles/bigquery.resourceViewer",
    ),
    "rows cannot be read by the Storage API": (
        "project permissions", denied("bigquery.readsessions.create"), "lacks bigquery.readsessions.create",
        "--role=roles/bigquery.readSessionUser",
    ),
    "a table may be read and not changed": (
        "table permissions", may_not_update, "lacks bigquery.tables.delete, bigquery.tables.update, bigquery.tables.upd",
        "GRANT `roles/bigquery.dataEditor` ON SCHEMA `peer-project.acme`",
    ),
    "the source may not be read": (
        "queries", refused_at(EXPORT, "accessDenied", "Access Denied: Table acme_export: permission bigquery.tables.getData"),
        "access_denied: Access Denied: Table acme_export", "Grant the named permission",
    ),
    "a day reads more than its pipeline may": ("queries", million, "a day reads 1099.5 GB", "raise maximum_gigabytes_billed"),
    "the dataset is elsewhere": (
        "dataset location", dataset_in_the_us, "dataset peer-project:acme is in US, its jobs run in EU",
        "set `bigquery: {location: US}` in tenants/acme/tenant.yaml",
    ),
    "the source is elsewhere": (
        "dataset location", source_in_the_us, "its source peer-project:acme_export is in US", "copy the source to EU",
    ),
    "a sandbox deletes every table": (
        "expiry", sandbox, "every table of dataset peer-project:acme is deleted 60 days after",
        "bq update --default_table_expiration 0 peer-project:acme",
    ),
    "days expire": ("expiry", partitions_that_expire, "keeps its days 30 days", "the pipeline's next run sets it"),
    "a table expires": ("expiry", a_table_that_expires, "is deleted on 20", "bq update --expiration 0 peer-project:acme."),
    "a column was added by hand": ("tables", another_column, "column added_by_hand is in the table", "Bring the pipeline's"),
    "a table has lost its label": ("tables", no_label, "no label managed_by:convergence", "bq update --set_label"),
    "the quota of jobs is used up": (
        "quota", refused_job("quotaExceeded", "Custom quota exceeded: QueryUsagePerDay"), "Custom quota exceeded",
        "Wait for the quota's next period",
    ),
    "the quota is less than a day needs": ("quota", small_quota, "QueryUsagePerDay allows 0.0 GB", "raise it under IAM"),
    "no impersonation": (
        "service accounts", no_impersonation, f"{ACCOUNT} cannot be used", "convergence tenants onboard acme --apply-grants",
    ),
    "jobs of others cannot be listed": (
        "jobs", refused_at("allUsers=", "accessDenied", "Access Denied: Project peer-project: bigquery.jobs.listAll"),
        "jobs of other accounts cannot be listed", "roles/bigquery.resourceViewer",
    ),
    "jobs lose their labels": ("jobs", labels_lost, "has lost managed_by, pipeline", "a proxy, a policy"),
    "no job may run": (
        "warehouse", refused_job("accessDenied", "Access Denied: Project peer-project: bigquery.jobs.create"),
        "bigquery.jobs.create", "roles/bigquery.jobUser",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_project_is_named_with_the_next_step(project: Project, fault: str) -> None:
    check, plant, seen, next_step = FAULTS[fault]
    plant(project)
    findings = [finding for finding in project.findings(check) if finding.state != "ok"]
    assert findings, f"{fault} is not noticed"
    for finding in findings[:1]:
        assert seen in finding.seen
        assert next_step in finding.next_step


def test_two_faults_at_once_are_both_told_and_stop_no_other_check(project: Project) -> None:
    sandbox(project)
    denied("bigquery.jobs.listAll")(project)
    findings = project.findings()
    assert {finding.check for finding in findings if finding.state == "broken"} == {"expiry", "project permissions"}
    assert {finding.check for finding in findings} == set(CHECKS)


def test_the_command_runs_a_day_in_a_project_that_passes_and_writes_a_report(project: Project, tmp_path: Path) -> None:
    load_a_day(project)
    report = tmp_path / "report.json"
    done = certify(project, "--canary", "acme", "2026-10-05", "--output", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(report.read_text())
    assert (said["passed"], said["project"]) == (True, PROJECT)
    assert said["canary"] == {"tenant": "acme", "day": "2026-10-05"}
    canary = {finding["check"]: finding for finding in said["findings"]}
    assert canary["warehouse contract"]["state"] == "ok", canary["warehouse contract"]
    assert "staged, published, replaced, rolled back, merged" in canary["warehouse contract"]["seen"]
    assert canary["drain"]["state"] == "ok", canary["drain"]
    assert canary["drain"]["seen"].startswith(
        "acme, pipeline demo_costs, 2026-10-05: a run whose worker is ended at work"
    )
    assert canary["canary"]["seen"].startswith("acme, pipeline demo_costs, 2026-10-05: 2 rows of 2 tables"), canary
    assert "project peer-project is fit: the day 2026-10-05 of acme was run" in done.stdout
    datasets = {dataset.dataset_id for dataset in project.client.list_datasets(include_all=True)}
    assert not [name for name in datasets if "certify" in name]


def billed(bytes_billed: int) -> Callable[[Any], None]:
    """Each statement is billed for so many bytes, as far as its cap allows."""

    def change(answer: Any) -> None:
        query = answer.get("statistics", {}).get("query")
        if query is not None and not answer["configuration"].get("dryRun"):
            query["totalBytesBilled"] = str(bytes_billed)

    return change


def test_all_statements_of_a_canary_share_its_cap_and_those_of_a_failed_day_count(project: Project) -> None:
    load_a_day(project)
    caps: list[int] = []

    def see(method: str, path: str, body: Any, account: str) -> Refusal | None:
        query = body.get("configuration", {}).get("query", {})
        if "maximumBytesBilled" in query and not body["configuration"].get("dryRun"):
            caps.append(int(query["maximumBytesBilled"]))
        return None

    project.faults.refuse = see
    changed("/jobs", billed(10**8))(project)
    done = certify(project, "--canary", "acme", "2026-10-05", "--max-gigabytes", "2", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    said = json.loads(done.stdout)
    seen = [finding["seen"] for finding in said["findings"] if finding["check"] == "canary"]
    assert "2,000,000,000 bytes were billed of 2,000,000,000 for all statements together" in seen[0], seen
    assert seen[1] == "all that --max-gigabytes allows was billed: 2.0 of 2 GB"
    assert said["bytes_billed"] == 2 * 10**9
    assert min(caps) == 10**8
    assert len(caps) >= 20


def test_a_statement_that_runs_on_after_its_worker_was_ended_is_named(project: Project) -> None:
    load_a_day(project)
    runs: list[str] = []

    def see(method: str, path: str, body: Any, account: str) -> Refusal | None:
        labels = body.get("configuration", {}).get("labels", {})
        if labels.get("pipeline") == "demo_costs" and "run_id" in labels:
            runs.append(labels["run_id"])
        return None

    def run_on(method: str, path: str, answer: Any) -> Any:
        if method == "GET" and path.endswith("/jobs"):
            labels = {"managed_by": "convergence", "run_id": runs[0] if runs else "none"}
            reference = {"projectId": PROJECT, "jobId": "still_at_work", "location": "EU"}
            job = {"jobReference": reference, "configuration": {"jobType": "QUERY", "query": {}, "labels": labels}}
            answer["jobs"] = [{"id": "still_at_work", "state": "RUNNING", "status": {"state": "RUNNING"}} | job]
        return answer

    project.faults.refuse, project.faults.change = see, run_on
    done = certify(project, "--canary", "acme", "2026-10-05", "--json")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1, (runs, findings["drain"])
    assert findings["drain"]["state"] == "broken"
    assert "of its statements run on (still_at_work" in findings["drain"]["seen"]


def test_no_day_is_run_in_a_project_that_does_not_pass(project: Project) -> None:
    sandbox(project)
    done = certify(project, "--canary", "acme", "2026-10-05", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["canary"]["seen"] == "not tried: the project has not passed"
    assert project.client.get_table(f"{PROJECT}.acme.lines").num_rows == 0


def certify(project: Project, *words: str) -> "subprocess.CompletedProcess[str]":
    settings = project.setup.settings
    environ = {
        "GCP_PROJECT_ID": PROJECT, "BIGQUERY_EMULATOR_HOST": project.faults.url, "COLUMNS": "200",
        "CONVERGENCE_HOME": str(settings.home), "CONVERGENCE_TENANTS": settings.tenants,
    }  # fmt: skip
    done = commands.convergence("certify", *words, environ=clean_environment() | environ)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def load_a_day(project: Project) -> None:
    (source,) = project.tenant.pipelines[0].steps[0].sources.values()
    moment = "2026-10-05T10:00:00Z"
    file = project.setup.dagster_home / "bills.jsonl"
    file.write_text(json.dumps({"used_at": moment, "exported_at": moment, "cost": 1.5}) + "\n")
    with open_bigquery(replace(project.setup.settings, emulator=project.faults.server), "EU") as warehouse:
        warehouse.load_files(
            TableRef.parse(source.tables[0]), source_schema(source.spec), [SourceFile(str(file), "jsonl")], Job("load")
        )
