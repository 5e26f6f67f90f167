"""Settings to an open warehouse: the one place that chooses the adapter."""

from typing import TYPE_CHECKING, Any

from convergence_assets.settings import Settings
from convergence_assets.warehouse.bigquery.jobs import RETRY_BUDGET_SECONDS
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.interface import Waits, Warehouse, silent

if TYPE_CHECKING:
    from google.cloud import bigquery

    from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse


def open_warehouse(
    settings: Settings,
    location: str | None = None,
    waits: Waits = silent,
    budget_seconds: float = RETRY_BUDGET_SECONDS,
    service_account: str | None = None,
) -> Warehouse:
    """The active warehouse, to be closed by `with`; `location` is where BigQuery makes datasets and runs jobs, `waits`
    is called for statements that take long, `budget_seconds` is how long a refused request is sent again. With a
    `service_account` everything is sent as it, which the platform's own account impersonates.

    Raises `AccessDenied` where BigQuery is chosen and there are no Google credentials.
    """
    if settings.warehouse == "embedded":
        from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse

        return DuckDBWarehouse(settings.warehouse_folder, waits)
    return open_bigquery(settings, location, waits, budget_seconds, service_account)


def open_bigquery(
    settings: Settings,
    location: str | None = None,
    waits: Waits = silent,
    budget_seconds: float = RETRY_BUDGET_SECONDS,
    service_account: str | None = None,
) -> "BigQueryWarehouse":
    """The same where BigQuery is chosen, for what it alone has: views, and who may read what."""
    from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse

    if settings.emulator:
        return BigQueryWarehouse(
            _emulated(settings, location, service_account),
            location=location,
            storage=_emulated_storage(settings),
            decorators=False,
            budget_seconds=budget_seconds,
            waits=waits,
        )
    client = _google(settings, location)
    if service_account:
        client = _impersonating(client, service_account)
    return BigQueryWarehouse(
        client,
        location=location,
        storage=_storage(client),
        principal=_principal(client),
        budget_seconds=budget_seconds,
        waits=waits,
    )


def _google(settings: Settings, location: str | None) -> "bigquery.Client":
    """Application Default Credentials, with the impersonation and quota project that they name."""
    from dagster_gcp import BigQueryResource
    from google.auth.exceptions import DefaultCredentialsError

    try:
        with BigQueryResource(project=settings.project, location=location).get_client() as client:
            return client
    except DefaultCredentialsError as error:
        raise AccessDenied(
            f"BigQuery was chosen ({settings.warehouse_reason}) and there are no Google credentials "
            f"({str(error).rstrip('.')}); set CONVERGENCE_WAREHOUSE=embedded to run without BigQuery"
        ) from error


def _impersonating(client: "bigquery.Client", service_account: str) -> "bigquery.Client":
    """The same for another account (https://cloud.google.com/iam/docs/service-account-impersonation)."""
    from google.auth import impersonated_credentials
    from google.cloud import bigquery

    credentials = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
        source_credentials=client._credentials, target_principal=service_account, target_scopes=list(client.SCOPE)
    )
    return bigquery.Client(client.project, credentials, location=client.location)


def _emulated(settings: Settings, location: str | None, service_account: str | None) -> "bigquery.Client":
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery
    from google.oauth2.credentials import Credentials

    # A local server accepts anybody; the account goes with each request, as Google's token does.
    anybody = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return bigquery.Client(
        settings.project,
        Credentials(service_account) if service_account else anybody,  # type: ignore[no-untyped-call]
        location=location,
        client_options=ClientOptions(api_endpoint=settings.emulator),
    )


def _storage(client: "bigquery.Client") -> Any:
    from google.cloud import bigquery_storage

    return bigquery_storage.BigQueryReadClient(credentials=client._credentials)  # type: ignore[no-untyped-call]


def _emulated_storage(settings: Settings) -> Any:
    if not settings.storage_emulator:
        return None
    import grpc
    from google.cloud import bigquery_storage
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    channel = grpc.insecure_channel(settings.storage_emulator)
    transport = BigQueryReadGrpcTransport(channel=channel)
    return bigquery_storage.BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


def _principal(client: "bigquery.Client") -> str | None:
    return getattr(client._credentials, "service_account_email", None)
