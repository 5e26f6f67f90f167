"""How a code server makes the snapshot of its location, and how daemon and webserver read it."""

import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import dagster as dg
from dagster._serdes import deserialize_value, serialize_value

from convergence_assets.dagster_internals.patches import patch

_SERVER_ID_SECONDS = 10
_SERVERS_OVERLAP_SECONDS = 45.0
"""Less than the minute after which the daemon looks again, and longer than two servers overlap."""


def is_code_server() -> bool:
    """Whether this process serves a location's snapshot; others need no preparation for it."""
    return "dagster._grpc.server" in sys.modules


def compile_records() -> None:
    """Take a tiny snapshot before that of a whole location.

    Dagster compiles the constructor of a record where it is first used, and the constructor keeps that caller's locals
    (dagster_shared 1.13, `check/builder.py`): in a code server the whole first snapshot, for as long as it lives.
    """
    from dagster._core.remote_representation.external_data import RepositorySnap

    daily = dg.DailyPartitionsDefinition("2026-01-01")
    checks = [dg.AssetCheckSpec("check", asset="made")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = dg.BackfillPolicy.multi_run()
        written = dg.asset(name="made", partitions_def=daily, check_specs=checks, backfill_policy=again)
        mapped = dg.AssetDep("made", partition_mapping=dg.TimeWindowPartitionMapping())
        read = dg.asset(name="read", partitions_def=daily, deps=[mapped, dg.AssetKey("source")])
        job = dg.define_asset_job("job", "made")
        definitions = dg.Definitions(
            assets=[written(lambda: None), read(lambda: None), dg.AssetSpec("source")],
            schedules=[dg.schedule(name="schedule", cron_schedule="@daily", job=job)(lambda: None)],
            sensors=[
                dg.sensor(name="sensor", job=job)(lambda: None),
                dg.sensor(name="selecting", asset_selection="*")(lambda: None),
            ],
        )
        repository = definitions.get_repository_def()
        for deferred in (True, False):
            RepositorySnap.from_def(repository, defer_snapshots=deferred)


@patch("each request takes seconds and 35 MB for a thousand tenants, and a daemon asks every minute", upstream="none")
def snapshot_once(before_answer: Callable[[], None]) -> None:
    """Let a code server make the snapshot of its definitions once; they do not change while it lives.

    Daemon, webserver and other clients request it at once, and a daemon again each minute where Dagster started the
    server; each answer of Dagster's takes seconds for a thousand tenants, and as much memory as the location itself. It
    is cached packed, in the streamed pieces (a thousand tenants: 42 MB of text, 2 packed). `before_answer` is called
    each time.
    """
    from dagster._core.remote_origin import RemoteRepositoryOrigin
    from dagster._core.remote_representation.external_data import RepositoryErrorSnap
    from dagster._grpc import server
    from dagster._grpc.__generated__ import dagster_api_pb2

    served: Any = server.DagsterApiServer
    if hasattr(served, "once"):
        return
    unpacked, lock = served._get_serialized_external_repository_data, threading.Lock()
    failed = serialize_value(RepositoryErrorSnap(error=None)).partition(",")[0]
    size = server.STREAMING_CHUNK_SIZE

    def packed(this: Any, request: Any) -> list[bytes]:
        origin = deserialize_value(request.serialized_repository_python_origin, RemoteRepositoryOrigin)
        key = (origin.repository_name, request.defer_snapshots)  # each client has its own name for the location
        with lock:
            snapshots: dict[tuple[str, bool], list[bytes]] = this.__dict__.setdefault("kept_snapshots", {})
            pieces = snapshots.get(key)
            if pieces is None:
                text = str(unpacked(this, request))
                pieces = [zlib.compress(text[at : at + size].encode(), 1) for at in range(0, len(text), size)]
                if not text.startswith(failed):
                    snapshots[key] = pieces
            before_answer()
            return pieces

    def once(this: Any, request: Any) -> str:
        return "".join(zlib.decompress(piece).decode() for piece in packed(this, request))

    def streamed(this: Any, request: Any, _context: Any) -> Iterator[Any]:
        for number, piece in enumerate(packed(this, request)):
            text = zlib.decompress(piece).decode()
            yield dagster_api_pb2.StreamingExternalRepositoryEvent(
                sequence_number=number, serialized_external_repository_chunk=text
            )

    served.once = served._get_serialized_external_repository_data = once
    served.StreamingExternalRepository = streamed


@patch(
    "as one message a snapshot costs a code server three more copies for each client, and is refused beyond 100 MB",
    upstream="none",
)
def snapshots_in_pieces() -> None:
    """Let this process read a location's snapshot in pieces, which every Dagster code server offers.

    As one message, which Dagster 1.13 requests, the code server holds three more copies for each concurrent client (a
    thousand tenants: 35 MB each), and beyond 100 MB it is refused.
    """
    from dagster._grpc.__generated__ import dagster_api_pb2
    from dagster._grpc.client import DEFAULT_REPOSITORY_GRPC_TIMEOUT, DagsterGrpcClient

    def external_repository(
        this: Any,
        remote_repository_origin: Any,
        defer_snapshots: bool = False,
        timeout: int = DEFAULT_REPOSITORY_GRPC_TIMEOUT,
    ) -> str:
        pieces = this._streaming_query(
            "StreamingExternalRepository",
            dagster_api_pb2.ExternalRepositoryRequest,
            serialized_repository_python_origin=serialize_value(remote_repository_origin),
            defer_snapshots=defer_snapshots,
            timeout=timeout,
        )
        return "".join(piece.serialized_external_repository_chunk for piece in pieces)

    DagsterGrpcClient.external_repository = external_repository  # type: ignore[assignment, method-assign]


@patch(
    "the daemon loads every location again each minute, though its server is the same",
    upstream="https://github.com/dagster-io/dagster/pull/26268",
)
def kept_as_long_as_their_server() -> None:
    """Let this process reload a location only where another server answers for it, or the last load failed.

    Dagster 1.13's daemon also does so every minute, though it asks every second which server it is: a thousand tenants
    are 35 MB of text and seconds of work, for which runs and ticks wait. While an old and a new server share an address
    one load may mix both, so what was read soon after a server was first seen is read once more. Servers with a fixed
    id (`--fixed-server-id`) are distinguished by nothing else.
    """
    from dagster._core.workspace.context import WorkspaceProcessContext

    reading: Any = WorkspaceProcessContext
    read = getattr(reading._load_location, "__wrapped__", reading._load_location)

    @wraps(read)
    def read_where_needed(this: Any, origin: Any, reload: bool) -> Any:
        loaded: Any = None if reload else this.get_current_workspace().code_location_entries.get(origin.location_name)
        same = bool(loaded) and _is_served_as_before(loaded, origin)
        met_at = getattr(loaded.code_location, "met_at", None) if same else None
        if met_at is not None and loaded.update_timestamp - met_at >= _SERVERS_OVERLAP_SECONDS:
            return loaded
        entry = read(this, origin, reload)
        if entry.code_location is not None:
            again = met_at is not None and entry.code_location.server_id == loaded.code_location.server_id
            entry.code_location.met_at = met_at if again else entry.update_timestamp
        return entry

    reading._load_location = read_where_needed


def _is_served_as_before(loaded: Any, origin: Any) -> bool:
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

    if not isinstance(origin, GrpcServerCodeLocationOrigin) or loaded.origin != origin or loaded.code_location is None:
        return False  # servers that Dagster itself starts stay alive by these requests
    try:
        served = loaded.code_location.client.get_server_id(timeout=_SERVER_ID_SECONDS)
    except DagsterUserCodeUnreachableError:
        return False
    return bool(served == loaded.code_location.server_id)
