"""Service accounts are allowed what they need by requests to Google, which a server on loopback takes here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.tenant_lifecycle.google_iam import GoogleIam
from convergence_assets.tenant_lifecycle.granting import Granting
from convergence_assets.tenant_lifecycle.service_accounts import account_grants
from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.errors import AccessDenied
from tests.library.test_shared_sources import EXPORT, SHARES, load, write
from tests.tenant_lifecycle.google_server import PROJECT, Google

PLATFORM = "workers@our-project.iam.gserviceaccount.com"
ACCOUNT = "convergence-sky@our-project.iam.gserviceaccount.com"
TO = f'TO "serviceAccount:{ACCOUNT}"'
ACTING = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"serviceAccount:{PLATFORM}"]}
Give = Callable[..., list[str]]


@pytest.fixture
def google() -> Iterator[Google]:
    found = Google()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def sky(tmp_path: Path) -> Tenant:
    """A tenant with an account of its own that reads its rows of an export of everybody's."""
    account = "service_account: 'convergence-{tenant}@our-project.iam.gserviceaccount.com'\n"
    context = LoadContext(own_project=PROJECT, has_accounts=True)
    return load(write(tmp_path, SHARES, ["sky"], account), context=context).tenants["sky"]


@pytest.fixture
def give(google: Google) -> Iterator[Give]:
    anybody = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = bigquery.Client(PROJECT, anybody, client_options=ClientOptions(api_endpoint=google.url), location="EU")
    session = AuthorizedSession(anybody)  # type: ignore[no-untyped-call]
    with BigQueryWarehouse(client, budget_seconds=0.0) as warehouse:
        granting = Granting(warehouse, GoogleIam(session, google.url, wait_seconds=0.01))

        def given(tenant: Tenant, platform: str | None = PLATFORM) -> list[str]:
            done = [granting.give(grant) for grant in account_grants(tenant, PROJECT, platform)]
            return [text for text in [*done, granting.drop_old_views(tenant)] if text]

        yield given


def test_google_is_asked_for_what_is_needed_and_no_more(google: Google, sky: Tenant, give: Give) -> None:
    google.hidden = 2  # a new account is not seen everywhere at once
    done = give(sky)
    assert google.accounts == {ACCOUNT}
    assert google.policies == {ACCOUNT: [ACTING]}
    assert google.statements == [
        f"GRANT `roles/bigquery.jobUser` ON PROJECT `our-project` {TO}",
        "CREATE SCHEMA IF NOT EXISTS `our-project.sky`",
        f"GRANT `roles/bigquery.dataEditor` ON SCHEMA `our-project.sky` {TO}",
        "CREATE SCHEMA IF NOT EXISTS `our-project._staging_sky` OPTIONS(default_table_expiration_days=7)",
        f"GRANT `roles/bigquery.dataEditor` ON SCHEMA `our-project._staging_sky` {TO}",
        "CREATE SCHEMA IF NOT EXISTS `our-project._shared_sky`",
        f"GRANT `roles/bigquery.dataViewer` ON SCHEMA `our-project._shared_sky` {TO}",
    ]
    assert not any(EXPORT.partition(".")[2] in sql for sql in google.statements), "the export itself is not its to read"
    views = {"projectId": PROJECT, "datasetId": "_shared_sky"}
    assert google.access == [{"dataset": {"dataset": views, "targetTypes": ["VIEWS"]}}]
    assert done[:2] == [f"made service account {ACCOUNT}", f"let {PLATFORM} act as {ACCOUNT}"]
    assert f"let the views of _shared_sky read dataset {EXPORT.partition('.')[0]}" in done


def test_given_again_all_is_as_it_was_and_what_others_were_given_stays(google: Google, sky: Tenant, give: Give) -> None:
    people = {"role": "READER", "userByEmail": "somebody@example.com"}
    google.access = [people]
    google.accounts = {ACCOUNT}
    google.policies = {ACCOUNT: [{"role": "roles/viewer", "members": ["user:somebody@example.com"]}]}
    give(sky)
    access, policies = list(google.access), {name: list(found) for name, found in google.policies.items()}
    again = give(sky)
    assert (google.access, google.policies) == (access, policies)
    assert google.access[0] == people
    assert [b["role"] for b in policies[ACCOUNT]] == ["roles/viewer", ACTING["role"]]
    assert all(text.startswith("ran ") for text in again), "statements that change nothing where all is so"


def test_views_of_an_earlier_share_are_removed(google: Google, sky: Tenant, give: Give) -> None:
    google.tables = {"gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C__0123456789ab": "VIEW"}
    assert give(sky)[-1].startswith("dropped views _shared_sky.gcp_billing_export_resource_v1_")
    assert google.tables == {}


@pytest.mark.parametrize(("kind", "written"), [("TABLE", "TABLE"), ("VIEW", "VIEW"), ("EXTERNAL", "EXTERNAL TABLE")])
def test_a_source_may_be_a_view_or_an_external_table(
    google: Google, give: Give, tmp_path: Path, kind: str, written: str
) -> None:
    account = f"service_account: 'convergence-{{tenant}}@{PROJECT}.iam.gserviceaccount.com'\n"
    root = write(tmp_path, {"sky": {"projects": ["x"]}}, ["rockets"], account)
    defaults = root / "_defaults.yaml"
    defaults.write_text(defaults.read_text().replace(EXPORT, "elsewhere.an_export"))
    google.tables[EXPORT.partition(".")[2]] = kind
    give(load(root, context=LoadContext(own_project=PROJECT, has_accounts=True)).tenants["rockets"])
    assert f"GRANT `roles/bigquery.dataViewer` ON {written} `our-project.{EXPORT}`" in google.statements[-1]


def test_what_google_denies_is_said_in_its_words(google: Google, sky: Tenant, give: Give) -> None:
    google.denied = "setIamPolicy"
    with pytest.raises(AccessDenied, match=rf"letting serviceAccount:{PLATFORM} act as {ACCOUNT}: Permission denied"):
        give(sky)


def test_a_persons_credentials_do_not_say_as_whom_the_workers_run(sky: Tenant, give: Give) -> None:
    with pytest.raises(AccessDenied, match="name it, --platform-account"):
        give(sky, None)
