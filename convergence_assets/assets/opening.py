"""Settings to an open warehouse: the one place that chooses the adapter."""

from typing import TYPE_CHECKING, Any

from convergence_assets.settings import Settings
from convergence_assets.warehouse.bigquery.jobs import RETRY_BUDGET_SECONDS
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.interface import Waits, Warehouse, silent

if TYPE_CHECKING:
    from google.cloud import bigquery


def open_warehouse(
    settings: Settings, location: str | None = None, waits: Waits = silent, budget_seconds: float = RETRY_BUDGET_SECONDS
) -> Warehouse:
    """The active warehouse, to be closed by `with`; `location` is where BigQuery makes datasets and runs jobs, `waits`
    is told of statements that take long, `budget_seconds` is how long a refused request is sent again.

    Raises `AccessDenied` where BigQuery is chosen and there are no Google credentials.
    """
    if settings.warehouse == "embedded":
        from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse

        return DuckDBWarehouse(settings.warehouse_folder, waits)
    from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse

    if settings.emulator:
        return BigQueryWarehouse(
            _emulated(settings, location),
            location=location,
            storage=_emulated_storage(settings),
            decorators=False,
            budget_seconds=budget_seconds,
            waits=waits,
        )
    client = _google(settings, location)
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


def _emulated(settings: Settings, location: str | None) -> "bigquery.Client":
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    return bigquery.Client(
        settings.project,
        AnonymousCredentials(),  # type: ignore[no-untyped-call]
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
