"""``hhh users``: who may sign in. Passwords come by a prompt or on standard input, never as an argument."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy.orm import Session

from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.session import own_database, settings
from hhh.cli.typed_secrets import read_secret
from hhh.core.clock import isoformat
from hhh.core.text import counted
from hhh.models import Role, User
from hhh.services import users

app = typer.Typer(help="Who may sign in.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The e-mail to sign in with.")]
_ROLE_HELP = "What the user may do: everything as a SUPER_ADMIN; else sign in, and see to their own account."


@app.command("create")
def create(
    email: Email, role: Annotated[Role, typer.Option(case_sensitive=False, help=_ROLE_HELP)] = Role.MEMBER
) -> None:
    """Make a user. The password is asked for, or is the first line of standard input if that is no terminal."""
    password = read_secret("Password", twice=True)
    with _transaction() as session:
        user = users.create_user(session, email=email, password=password, role=role)
    console.print(escape(f"Created {user.email}, {user.role}: {_may(user)}."))


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List the users."""
    with _transaction() as session:
        everybody = users.list_users(session)
    if as_json:
        print_json([_row(user) for user in everybody])
        return
    rows = [
        (user.email, user.role, "yes" if user.totp_since else "no", moment(user.created_at), user.id)
        for user in everybody
    ]
    print_table(["E-MAIL", "ROLE", "SECOND FACTOR", "CREATED (UTC)", "ID"], rows, empty="No users.")


@app.command("set-role")
def set_role(email: Email, role: Annotated[Role, typer.Argument(case_sensitive=False, help=_ROLE_HELP)]) -> None:
    """Give a user another role; it counts at once."""
    with _transaction() as session:
        user = users.set_role(session, email=email, role=role)
    console.print(escape(f"{user.email} is {user.role} now: {_may(user)}."))


@app.command("set-password")
def set_password(email: Email) -> None:
    """Give a user another password and end all their sessions. It is read as by `create`."""
    password = read_secret("Password", twice=True)
    with _transaction() as session:
        user = users.set_password(session, email=email, password=password)
    console.print(escape(f"The password of {user.email} is set, and all their sessions have ended."))


@app.command("remove")
def remove(email: Email) -> None:
    """Remove a user and end all their sessions. What they asked for stays in the records."""
    with _transaction() as session:
        user = users.remove(session, email=email)
    console.print(escape(f"Removed {user.email}, and all their sessions have ended."))


@app.command("reset-second-factor")
def reset_second_factor(email: Email) -> None:
    """Take the second factor away from a user who lost the phone and the recovery codes, and end their sessions."""
    with _transaction() as session:
        had_one = users.reset_second_factor(session, email=email)
    told = "The second factor of {} is taken away" if had_one else "{} had no second factor"
    console.print(escape(f"{told.format(users.normalise_email(email))}, and all their sessions have ended."))


@app.command("end-sessions")
def end_sessions(email: Email) -> None:
    """Sign a user out everywhere."""
    with _transaction() as session:
        ended = users.end_sessions(session, email=email)
    console.print(escape(f"Ended {counted(ended, 'session', 'sessions')} of {users.normalise_email(email)}."))


def _may(user: User) -> str:
    if user.role == Role.SUPER_ADMIN:
        return "may do everything"
    return f"may sign in, and do nothing about backups; `hhh users set-role {user.email} SUPER_ADMIN` changes that"


def _row(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "second_factor": user.totp_since is not None,
        "created_at": isoformat(user.created_at),
    }


@contextlib.contextmanager
def _transaction() -> Iterator[Session]:
    with own_database(settings()) as database, database.transaction() as session:
        yield session
