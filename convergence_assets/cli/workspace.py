"""`convergence workspace`: a workspace.yaml for a deployment whose tenants are shared out over code locations."""

from typing import Annotated

import typer
import yaml

from convergence_assets.settings import Shard


def workspace(
    shards: Annotated[int, typer.Option(help="Parts of the tenants, each a code location of its own", min=1)],
    host: Annotated[
        str, typer.Option(help="Where the code servers listen; {n} becomes the part's number, as in code-{n}")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Of the first part; the next port is the next part's", min=1, max=65535)
    ] = 4266,
) -> None:
    """Print a workspace.yaml with one code server per shard of the tenants, and the command that starts each.

    Example: convergence workspace --shards 4 > workspace.yaml
    """
    if port + shards - 1 > 65535:
        raise typer.BadParameter(f"{shards} ports from {port} on go beyond 65535")
    parts = [Shard(number, shards) for number in range(1, shards + 1)]
    has_own_host = "{n}" in host  # each part on a host of its own, all on one port
    ports = [port if has_own_host else port + part.number - 1 for part in parts]
    typer.echo("# Each part is a code server; the same command starts it again after a change of CONVERGENCE_SHARD:")
    for part, port_number in zip(parts, ports, strict=True):
        listen_host = "0.0.0.0" if has_own_host else host
        typer.echo(
            f"#   CONVERGENCE_SHARD={part} dagster code-server start -m convergence_assets.definitions "
            f"-h {listen_host} -p {port_number}"
        )
    servers = [
        {"host": host.replace("{n}", str(part.number)), "port": port_number, "location_name": part.location_name}
        for part, port_number in zip(parts, ports, strict=True)
    ]
    typer.echo(
        yaml.safe_dump({"load_from": [{"grpc_server": server} for server in servers]}, sort_keys=False), nl=False
    )
