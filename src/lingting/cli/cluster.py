"""`lingting cluster`: several machines as one service, placed by Ray, and what Redis knows of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingting.errors import SettingsError

if TYPE_CHECKING:
    from lingting.cluster.directory import DoorState, HomeState
    from lingting.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Start, show and stop several machines as one.")

JoinOption = Annotated[
    str | None,
    typer.Option("--join", metavar="HOST:PORT", help="Join the cluster whose first machine said this at its `up`."),
]


@app.command()
def up(
    *,
    join: JoinOption = None,
    address: Annotated[
        str, typer.Option("--address", help="Address of this machine at which the others reach it.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--ray-port", min=1, max=65535, help="Port of Ray's control store on the first machine.")
    ] = 6380,
    homes: Annotated[int, typer.Option("--homes", min=1, help="Homes on each machine.")] = 1,
) -> None:
    """Start Ray on this machine, and a door and homes on every machine that joins.

    The settings are those of `lingting serve`, and LINGTING_DATABASE_URL, LINGTING_CLUSTER_REDIS_URL and
    LINGTING_CLUSTER_SECRET must say the same on all machines. Ray's ports have no login: close them to others.
    """
    from lingting.on_ray import local
    from lingting.settings import load

    settings = load()
    if settings.cluster_secret is None:
        raise SettingsError(
            "LINGTING_CLUSTER_SECRET is not set: give every machine the same, such as `openssl rand -hex 32` gives"
        )
    machine = local.start(settings, join=join, address=address, port=port)
    if join is None:
        local.deploy(machine, settings, homes=homes)
        typer.echo(f"A door answers at port {settings.port}. On another machine:")
        typer.echo(f"  lingting cluster up --join {machine.address} --address ITS-ADDRESS")
    else:
        typer.echo(f"Joined {machine.address}; a door and homes start here.")


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show the doors and homes that Redis knows, with their streams, and where Ray runs here its machines and roles."""
    from lingting.on_ray import local
    from lingting.settings import load

    settings = load()
    doors, homes = _nodes(settings)
    told: dict[str, Any] = {"doors": [_shown(door) for door in doors], "homes": [_shown(home) for home in homes]}
    if machine := local.Machine.of(settings):
        told["ray"] = local.seen(machine)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for door in told["doors"]:
        typer.echo(
            f"door {door['id']}: {door['live']} live, sees {door['homes']} homes and is connected to {door['links']}, "
            f"version {door['version']}"
        )
    for home in told["homes"]:
        typer.echo(
            f"home {home['id']} at {home['address']}: {home['live']} live, text {home['lag']:.1f} s behind, "
            f"{home['lanes']} lanes, version {home['version']}"
        )
    typer.echo(f"{len(doors)} doors, {len(homes)} homes, {sum(home.live for home in homes)} live streams and sessions")
    if "ray" in told:
        for machine_seen in told["ray"]["machines"]:
            typer.echo(f"machine {machine_seen['address']}: {'there' if machine_seen['alive'] else 'gone'}")
        for name, role in told["ray"]["roles"].items():
            typer.echo(f"{name}: {role['status']}, {role['running']} of {role['wanted']} running")


@app.command()
def down() -> None:
    """Stop what `lingting cluster up` started on this machine; on the first machine, the whole cluster.

    Streams of a machine that leaves go on at another one; where none is left they end, in an orderly way.
    """
    from lingting.on_ray import local
    from lingting.settings import load

    settings = load()
    machine = local.Machine.of(settings)
    if machine is None:
        raise SettingsError(f"no cluster was started here: there is no {local.state_path(settings)}")
    local.stop(machine, settings)
    typer.echo("stopped")


@app.command()
def leave() -> None:
    """Move the roles of this machine elsewhere and wait until they have gone; for a preStop of Kubernetes."""
    from lingting.on_ray import local
    from lingting.settings import load

    local.leave(load())


def _nodes(settings: Settings) -> tuple[list[DoorState], list[HomeState]]:
    import asyncio

    from lingting.cluster.directory import Directory

    async def look() -> tuple[list[DoorState], list[HomeState]]:
        directory = Directory(settings.cluster_redis_url, 1)
        try:
            return await directory.doors(), await directory.look()
        finally:
            await directory.close()

    doors, homes = asyncio.run(look())
    return sorted(doors, key=lambda door: door.id), sorted(homes, key=lambda home: home.id)


def _shown(node: DoorState | HomeState) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.structs.asdict(node))
