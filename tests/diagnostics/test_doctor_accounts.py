"""What `convergence doctor` says of a tenant's account that sees more of a shared source than its tenant's rows."""

import dataclasses
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.diagnostics.doctor.checks import CHECKS
from convergence_assets.diagnostics.doctor.examine import Finding, Setup, examine
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.warehouse.schema import TableRef
from tests.library.test_shared_sources import EXPORT, SHARES, load, write
from tests.peer.peer_server import PROJECT, Peer

ACCOUNT = "convergence-sky@a-project.iam.gserviceaccount.com"


@pytest.mark.peer
def test_an_account_that_may_read_the_whole_source_is_told_of_with_the_statement_that_ends_it(
    peer: Peer, tmp_path: Path
) -> None:
    root = write(tmp_path, SHARES, ["sky"], f"service_account: '{ACCOUNT.replace('sky', '{tenant}')}'\n")
    settings = dataclasses.replace(peer.settings(tmp_path / "home"), tenants=str(root))
    sky = load(root, context=LoadContext(own_project=PROJECT, has_accounts=True)).tenants["sky"]
    source = sky.pipelines[0].steps[0].sources["billing_export"]
    with open_warehouse(settings) as warehouse:
        warehouse.ensure_table(TableRef.parse(EXPORT), source_schema(source.spec))
    ensure_shared_views(settings, sky, sky.sources)
    name = "service accounts"
    setup = Setup(settings, lambda: dg.DagsterInstance.ephemeral(), tmp_path)
    (found,) = examine({name: CHECKS[name]}, setup)
    assert isinstance(found, Finding)
    # The local server has no rights: whoever asks it may read all, as an account with a role too many.
    assert (found.state, found.seen) == (
        "broken",
        f"sky: {ACCOUNT} may read every tenant's rows of the shared source {PROJECT}.{EXPORT}",
    )
    assert f'REVOKE `roles/bigquery.dataViewer` ON TABLE `{PROJECT}.{EXPORT}` FROM "serviceAccount:{ACCOUNT}"' in (
        found.next_step or ""
    )
