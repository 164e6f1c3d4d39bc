"""``hhh tokens``: what programs call the API with."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli.amounts import NONE, moment_of, seconds_of
from hhh.cli.output import JsonOption, console, moment, print_json, print_table, problems
from hhh.cli.refused import refused
from hhh.cli.session import opened_services
from hhh.core.clock import utcnow
from hhh.core.errors import InvalidInput
from hhh.models import Scope
from hhh.schemas.api_token import MadeToken, TokenRequest, TokenResource
from hhh.services.container import Services
from hhh.services.cursors import is_id

app = typer.Typer(help="API tokens: what programs call the API with.", no_args_is_help=True)

_ALL = 1_000_000


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, as the audit log names it.")],
    *,
    scope: Annotated[
        list[Scope], typer.Option(help="What it may be used for; once for each. Only `admin` includes the others.")
    ],
    expires: Annotated[str, typer.Option(help="After so long (90d, 2w, 12h), or on a date in UTC, or none.")] = NONE,
    network: Annotated[
        list[str] | None, typer.Option(help="Where it may be used from, as 10.0.0.0/8; once for each.", metavar="CIDR")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Whose it is: the e-mail of a super admin. Not needed where there is one only.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is printed once, alone on standard output, and kept nowhere."""
    until = _until(expires)
    with refused():
        asked = TokenRequest(name=name, scopes=scope, expires_at=until, networks=network or ())
    with opened_services() as services:
        made = services.api_tokens.create(user or services.api_tokens.only_super_admin(), asked)
    if as_json:
        print_json(made)
    else:
        _print_made(made)


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the tokens, the newest first, those that are no longer good included."""
    with opened_services() as services:
        found = services.api_tokens.page(limit=_ALL)
    if as_json:
        print_json(list(found))
        return
    columns = ["NAME", "STATE", "SCOPES", "OWNER", "BEGINS", "NETWORKS", "EXPIRES (UTC)", "LAST USED (UTC)", "ID"]
    print_table(columns, [_row(each) for each in found], empty="No tokens.")


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(help="Its name, or its id; never the token itself.", metavar="NAME|ID")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a token good for nothing, from its next request on. It stays listed."""
    with opened_services() as services:
        revoked = services.api_tokens.revoke(_id_of(services, token))
    if as_json:
        print_json(revoked)
    else:
        console.print(f"Revoked {escape(revoked.name)} of {escape(revoked.owner)}.")


def _until(expires: str) -> datetime | None:
    with contextlib.suppress(InvalidInput):
        return moment_of(expires, "--expires")
    try:
        seconds = seconds_of(expires, "--expires")
        return None if seconds is None else utcnow() + timedelta(seconds=seconds)
    except InvalidInput:
        raise InvalidInput("--expires is no time", hint="e.g. 90d, 2026-12-31, 2026-12-31T18:00, or none") from None
    except OverflowError:
        raise InvalidInput("--expires is further away than any calendar", hint="none is never") from None


def _id_of(services: Services, token: str) -> str:
    return token if is_id(token) else services.api_tokens.named(token).id


def _print_made(made: MadeToken) -> None:
    until = f"until {moment(made.expires_at)} UTC" if made.expires_at else "until it is revoked"
    where = f", from {', '.join(made.networks)}" if made.networks else ""
    problems.print(
        escape(f"Made {made.name} of {made.owner}: {', '.join(made.scopes)}, {until}{where}. It is shown this once:")
    )
    typer.echo(made.token)


def _row(token: TokenResource) -> tuple[str, ...]:
    return (
        token.name,
        token.state,
        ",".join(token.scopes),
        token.owner,
        token.prefix,
        ",".join(token.networks) or "everywhere",
        moment(token.expires_at) if token.expires_at else "never",
        moment(token.last_used_at),
        token.id,
    )
