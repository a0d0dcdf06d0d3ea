"""`lingting tenants|apps|keys|usage`: who may use the server, and who used how much. All work while it runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lingting.cli.access_hot_words import change_of
from lingting.cli.access_options import (
    AddedWords,
    AppRef,
    ClearWords,
    Expires,
    Grace,
    Json,
    KeyRef,
    LimitOptions,
    Models,
    Name,
    Note,
    OfTenant,
    OnlyTenant,
    Owner,
    RemovedWords,
    Scopes,
    TenantRef,
    WordsFile,
    Yes,
    day,
    opened_directory,
)
from lingting.cli.access_output import print_csv, print_json, print_many, print_one, print_secret, print_table

if TYPE_CHECKING:
    from lingting.access.records import NewCredential

tenants = typer.Typer(no_args_is_help=True, add_completion=False)
apps = typer.Typer(no_args_is_help=True, add_completion=False)
keys = typer.Typer(no_args_is_help=True, add_completion=False)
usage = typer.Typer(add_completion=False)


# -- tenants ----------------------------------------------------------------------------------------------------------


@tenants.callback()
def _tenants() -> None:
    """Create, limit and shut out tenants: who shares limits, streams and a bill."""


@tenants.command("create")
def create_tenant(name: Name, note: Note = "", limit: LimitOptions = None, as_json: Json = False) -> None:
    """Make a tenant."""
    from lingting.access.principal import TenantLimits

    with opened_directory() as directory:
        print_one(directory.create_tenant(name, note, TenantLimits.from_dict(dict(limit or ()))), as_json)


@tenants.command("list")
def list_tenants(as_json: Json = False) -> None:
    """List all tenants."""
    with opened_directory() as directory:
        print_many(
            "Tenants",
            directory.tenants(),
            ("id", "name", "apps", "keys", "limits", "weight", "model", "state", "note"),
            as_json,
        )


@tenants.command("show")
def show_tenant(tenant: TenantRef, as_json: Json = False) -> None:
    """Show one tenant."""
    with opened_directory() as directory:
        print_one(directory.tenant(tenant), as_json)


@tenants.command("limits")
def limit_tenant(tenant: TenantRef, limit: LimitOptions = None, as_json: Json = False) -> None:
    """Set limits of a tenant with --limit NAME=VALUE, or give them back to the settings with NAME=default."""
    with opened_directory() as directory:
        print_one(directory.set_limits(tenant, dict(limit or ())), as_json)


@tenants.command("weight")
def weigh_tenant(
    tenant: TenantRef,
    weight: Annotated[float, typer.Argument(help="A number from 0.01 to 100; 1 is everybody's.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Give a tenant more or less of the computing than others when all are busy: 2 is twice as much."""
    with opened_directory() as directory:
        print_one(directory.set_weight(tenant, weight), as_json)


@tenants.command("model")
def choose_tenant_model(
    tenant: TenantRef,
    model: Annotated[
        str, typer.Argument(help="Name of a model, or default for that of the settings.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Set the model of a tenant's requests that name none."""
    from lingting.errors import ModelError
    from lingting.served_models import ServedModels
    from lingting.settings import load

    chosen = "" if model == "default" else model
    served = ServedModels.of(load()).names
    if chosen and chosen not in served:
        raise ModelError(
            f"the model {chosen!r} is not served; LINGTING_SERVED_MODELS names what is, now {', '.join(served)}"
        )
    with opened_directory() as directory:
        print_one(directory.set_model(tenant, chosen), as_json)


@tenants.command("hot-words")
def change_tenant_hot_words(
    tenant: TenantRef,
    *,
    add: AddedWords = None,
    remove: RemovedWords = None,
    file: WordsFile = None,
    clear: ClearWords = False,
    as_json: Json = False,
) -> None:
    """Names and terms to listen for in all that a tenant sends; without options, show them."""
    with opened_directory() as directory:
        print_one(directory.change_tenant_hot_words(tenant, change_of(add, remove, file, clear)), as_json)


@tenants.command("disable")
def disable_tenant(tenant: TenantRef, as_json: Json = False) -> None:
    """Shut a tenant out with all its apps and keys, from the next request on."""
    with opened_directory() as directory:
        print_one(directory.set_tenant_disabled(tenant, True), as_json)


@tenants.command("enable")
def enable_tenant(tenant: TenantRef, as_json: Json = False) -> None:
    """Let a tenant in again."""
    with opened_directory() as directory:
        print_one(directory.set_tenant_disabled(tenant, False), as_json)


@tenants.command("delete")
def delete_tenant(tenant: TenantRef, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a tenant with all its apps and keys; its usage stays."""
    with opened_directory() as directory:
        found = directory.tenant(tenant)
        _confirm(f"Delete the tenant {found.name} with {found.apps} apps and {found.keys} keys?", yes)
        print_one(directory.delete_tenant(found.id), as_json, "deleted")


# -- apps -------------------------------------------------------------------------------------------------------------


@apps.callback()
def _apps() -> None:
    """Create and shut out apps, which log in with app_id and app_secret as Feishu's clients do."""


@apps.command("create")
def create_app(
    name: Name,
    *,
    tenant: OfTenant = "default",
    scope: Scopes = None,
    model: Models = None,
    owner: Owner = "",
    note: Note = "",
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Make an app and print its secret, this once."""
    with opened_directory() as directory:
        print_secret(
            directory.create_app(
                _new(name, tenant=tenant, scopes=scope, models=model, owner=owner, note=note, expires=expires)
            ),
            as_json,
        )


@apps.command("list")
def list_apps(tenant: OnlyTenant = None, as_json: Json = False) -> None:
    """List apps."""
    with opened_directory() as directory:
        print_many("Apps", directory.apps(tenant), _CREDENTIAL_COLUMNS, as_json)


@apps.command("show")
def show_app(app: AppRef, as_json: Json = False) -> None:
    """Show one app; its secret is stored nowhere."""
    with opened_directory() as directory:
        print_one(directory.app(app), as_json)


@apps.command("hot-words")
def change_app_hot_words(
    app: AppRef,
    *,
    add: AddedWords = None,
    remove: RemovedWords = None,
    file: WordsFile = None,
    clear: ClearWords = False,
    as_json: Json = False,
) -> None:
    """Names and terms to listen for in what an app sends, besides its tenant's; without options, show them."""
    with opened_directory() as directory:
        print_one(directory.change_app_hot_words(app, change_of(add, remove, file, clear)), as_json)


@apps.command("disable")
def disable_app(app: AppRef, as_json: Json = False) -> None:
    """Shut an app out with its tokens, from the next request on."""
    with opened_directory() as directory:
        print_one(directory.set_app_disabled(app, True), as_json)


@apps.command("enable")
def enable_app(app: AppRef, as_json: Json = False) -> None:
    """Let an app in again."""
    with opened_directory() as directory:
        print_one(directory.set_app_disabled(app, False), as_json)


@apps.command("rotate")
def rotate_app(app: AppRef, grace: Grace = None, as_json: Json = False) -> None:
    """Give an app a new secret and print it, this once."""
    with opened_directory() as directory:
        print_secret(directory.rotate_app(app, grace or 0), as_json)


@apps.command("delete")
def delete_app(app: AppRef, yes: Yes = False, as_json: Json = False) -> None:
    """Remove an app; its usage stays."""
    with opened_directory() as directory:
        found = directory.app(app)
        _confirm(f"Delete the app {found.name} ({found.id})?", yes)
        print_one(directory.delete_app(found.id), as_json, "deleted")


# -- API keys ---------------------------------------------------------------------------------------------------------


@keys.callback()
def _keys() -> None:
    """Create and shut out API keys, which are sent as they are."""


@keys.command("create")
def create_key(
    name: Name,
    *,
    tenant: OfTenant = "default",
    scope: Scopes = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Let it see the operator's view of the page as well.")
    ] = False,
    model: Models = None,
    owner: Owner = "",
    note: Note = "",
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, this once."""
    from lingting.access.principal import DEFAULT_SCOPES, OPERATOR

    if operator:
        scope = [*(scope or DEFAULT_SCOPES), OPERATOR]
    with opened_directory() as directory:
        print_secret(
            directory.create_key(
                _new(name, tenant=tenant, scopes=scope, models=model, owner=owner, note=note, expires=expires)
            ),
            as_json,
        )


@keys.command("list")
def list_keys(tenant: OnlyTenant = None, as_json: Json = False) -> None:
    """List API keys."""
    with opened_directory() as directory:
        columns = ("id", "prefix", *_CREDENTIAL_COLUMNS[1:])
        print_many("API keys", directory.keys(tenant), columns, as_json)


@keys.command("show")
def show_key(key: KeyRef, as_json: Json = False) -> None:
    """Show one API key; the key itself is stored nowhere."""
    with opened_directory() as directory:
        print_one(directory.key(key), as_json)


@keys.command("hot-words")
def change_key_hot_words(
    key: KeyRef,
    *,
    add: AddedWords = None,
    remove: RemovedWords = None,
    file: WordsFile = None,
    clear: ClearWords = False,
    as_json: Json = False,
) -> None:
    """Names and terms to listen for in what comes with a key, besides its tenant's; without options, show them."""
    with opened_directory() as directory:
        print_one(directory.change_key_hot_words(key, change_of(add, remove, file, clear)), as_json)


@keys.command("disable")
def disable_key(key: KeyRef, as_json: Json = False) -> None:
    """Shut an API key out, from the next request on."""
    with opened_directory() as directory:
        print_one(directory.set_key_disabled(key, True), as_json)


@keys.command("enable")
def enable_key(key: KeyRef, as_json: Json = False) -> None:
    """Let an API key in again."""
    with opened_directory() as directory:
        print_one(directory.set_key_disabled(key, False), as_json)


@keys.command("rotate")
def rotate_key(key: KeyRef, grace: Grace = None, as_json: Json = False) -> None:
    """Replace an API key and print the new one, this once."""
    with opened_directory() as directory:
        print_secret(directory.rotate_key(key, grace or 0), as_json)


@keys.command("delete")
def delete_key(key: KeyRef, yes: Yes = False, as_json: Json = False) -> None:
    """Remove an API key; its usage stays."""
    with opened_directory() as directory:
        found = directory.key(key)
        _confirm(f"Delete the API key {found.name} ({found.id})?", yes)
        print_one(directory.delete_key(found.id), as_json, "deleted")


# -- usage ------------------------------------------------------------------------------------------------------------


@usage.command()
def show_usage(
    since: Annotated[
        date | None,
        typer.Option("--from", parser=day, metavar="DATE", help="First day (UTC); this month's first unless said."),
    ] = None,
    until: Annotated[
        date | None, typer.Option("--to", parser=day, metavar="DATE", help="Last day (UTC); today unless said.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Any of tenant,app,interface,model,day.")] = "tenant,app,interface",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
    as_json: Json = False,
) -> None:
    """Show requests, errors and seconds of audio; a running server writes them every 2 seconds."""
    today = datetime.now(UTC).date()
    until = until or max(today, since or today)
    since = since or until.replace(day=1)
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    if since > until:
        raise typer.BadParameter(f"--from {since} lies after --to {until}")
    with opened_directory() as directory:
        rows = directory.usage(since, until, [part.strip() for part in by.split(",") if part.strip()])
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(rows)
    else:
        print_table(f"Usage from {since} to {until} (UTC)", rows)


# -- shared -----------------------------------------------------------------------------------------------------------

_CREDENTIAL_COLUMNS = (
    "id",
    "name",
    "tenant",
    "owner",
    "scopes",
    "models",
    "state",
    "expires_at",
    "last_used_at",
    "note",
)


def _new(
    name: str,
    *,
    tenant: str,
    scopes: list[str] | None,
    models: list[str] | None,
    owner: str,
    note: str,
    expires: datetime | None,
) -> NewCredential:
    from lingting.access.principal import DEFAULT_SCOPES
    from lingting.access.records import NewCredential

    return NewCredential(
        name=name,
        tenant=tenant,
        scopes=tuple(scopes or DEFAULT_SCOPES),
        models=tuple(models) if models else None,
        owner=owner,
        note=note,
        expires_at=expires.timestamp() if expires else None,
    )


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)
