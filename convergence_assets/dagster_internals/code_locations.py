"""The code locations of a workspace file: where their servers are, whether they answer, and reloading them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVER_ID, _EMPTY = "/api.DagsterApi/GetServerId", b""
"""The method of a code server that answers from memory, and its request."""


@dataclass(frozen=True)
class CodeLocation:
    """One location of a workspace file: `arguments` are those of `dagster code-server start`, None where its server
    runs elsewhere, at `socket` or `host` and `port`, over TLS where `ssl` is set."""

    name: str
    arguments: tuple[str, ...] | None = None
    host: str | None = None
    port: int | None = None
    socket: str | None = None
    ssl: bool = False

    def as_server(self) -> dict[str, Any]:
        """The entry of a workspace file for a server."""
        address = {"location_name": self.name, "host": self.host, "port": self.port, "socket": self.socket}
        ssl = {"ssl": True} if self.ssl else {}
        return {"grpc_server": {name: value for name, value in address.items() if value is not None} | ssl}

    def why_silent(self, seconds: float) -> str | None:
        """Why the server does not answer within some seconds; None where it does."""
        import grpc  # without Dagster's client, whose import takes a second

        address = (
            f"{self.host or 'localhost'}:{self.port}" if self.port else f"unix:{Path(self.socket or '').absolute()}"
        )
        tls = grpc.ssl_channel_credentials() if self.ssl else None
        with grpc.secure_channel(address, tls) if tls else grpc.insecure_channel(address) as channel:
            try:
                channel.unary_unary(_SERVER_ID)(_EMPTY, timeout=seconds)
            except grpc.RpcError as error:
                return " ".join(str(error).split())[:300]
        return None

    def reload(self, seconds: float) -> None:
        """Reload its code; raises `DagsterUserCodeUnreachableError`."""
        from dagster._grpc.client import DagsterGrpcClient

        host = self.host or "localhost"
        client = DagsterGrpcClient(port=self.port, socket=self.socket, host=host, use_ssl=self.ssl)
        client.reload_code(timeout=round(seconds))


def code_servers_of(workspace: Path) -> list[CodeLocation]:
    """The locations of a workspace file whose server runs elsewhere; raises Dagster's errors for an invalid one."""
    import yaml

    try:
        config = yaml.safe_load(workspace.read_text())
    except yaml.YAMLError:
        config = None  # Dagster says what is wrong with it
    match config:
        case {"load_from": [*entries]} if all(_is_plain(entry) for entry in entries):
            servers = [entry["grpc_server"] for entry in entries if "grpc_server" in entry]
            return [
                CodeLocation(
                    server["location_name"], None, server.get("host") or "localhost",
                    server.get("port"), server.get("socket"), bool(server.get("ssl")),
                )
                for server in servers
            ]  # fmt: skip
    return [location for location in code_locations(workspace) if location.arguments is None]


def _is_plain(entry: object) -> bool:
    """Whether an entry is read without Dagster: a server with its name and address, or no server."""
    match entry:
        case {"grpc_server": dict(server)}:
            named = "location_name" in server and ("port" in server) != ("socket" in server)
            return named and all(isinstance(value, str | int) for value in server.values())
    return isinstance(entry, dict)


def code_locations(workspace: Path) -> list[CodeLocation]:
    """The locations of a workspace file; raises Dagster's errors for an invalid one."""
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, ManagedGrpcPythonEnvCodeLocationOrigin
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    locations = []
    for origin in WorkspaceFileTarget([str(workspace)]).create_origins():
        if isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin):
            arguments = tuple(origin.loadable_target_origin.get_cli_args())
            locations.append(CodeLocation(origin.location_name, arguments))
        elif isinstance(origin, GrpcServerCodeLocationOrigin):
            port, socket, ssl = origin.port or None, origin.socket or None, bool(origin.use_ssl)
            locations.append(CodeLocation(origin.location_name, None, origin.host, port, socket, ssl))
    return locations
