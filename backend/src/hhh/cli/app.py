"""The root of the command line."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer
from rich.markup import escape

from hhh.cli import (
    alerts,
    audit,
    backup,
    backup_content,
    backup_repair,
    backup_retention,
    backup_run,
    backup_verify,
    catalogue,
    doctor,
    keys,
    keys_agree,
    migrate,
    monitor,
    proof_report,
    recover_service,
    restore,
    schedule,
    serve,
    storage,
    target,
    target_status,
    tokens,
    users,
    worker,
)
from hhh.cli.output import console, problems
from hhh.core.actor import Actor, ActorKind, acting
from hhh.core.errors import ConfigurationError, HHHError, InvalidInput
from hhh.core.files import account
from hhh.core.version import PRODUCT_VERSION

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
#: What these do by themselves nobody has asked for.
_SERVICE = frozenset({"serve", "worker"})

app = typer.Typer(
    help="HHH Backup: backs up SQLite and PostgreSQL databases.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("monitor")(monitor.monitor)
app.command("recover-service")(recover_service.recover_service)
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
target.app.command("status")(target_status.status)
app.add_typer(target.app, name="target")
backup.app.command("follow")(backup_run.follow)
backup.app.command("cancel")(backup_run.cancel)
backup.app.command("peek")(backup_content.peek)
backup.app.command("commands")(backup_content.commands)
backup.app.command("download")(backup_content.download)
backup.app.command("import")(backup_content.take_in)
backup.app.command("pin")(backup_retention.pin)
backup.app.command("unpin")(backup_retention.unpin)
backup.app.command("delete")(backup_retention.delete)
backup.app.command("prune")(backup_retention.prune)
backup.app.command("repair")(backup_repair.repair)
backup.app.command("verify")(backup_verify.verify)
backup.app.command("verifications")(backup_verify.verifications)
backup.app.command("verification")(backup_verify.verification)
backup.app.command("report")(proof_report.report)
backup.app.command("check-report")(proof_report.check_report)
app.add_typer(backup.app, name="backup")
app.add_typer(schedule.app, name="schedule")
app.add_typer(storage.app, name="storage")
app.add_typer(restore.app, name="restore")
app.add_typer(catalogue.app, name="catalogue")
keys.app.command("agree")(keys_agree.agree)
app.add_typer(keys.app, name="keys")
app.add_typer(worker.app, name="worker")
app.add_typer(alerts.app, name="alerts")
app.add_typer(audit.app, name="audit")


def _print_version(asked: bool) -> None:
    if asked:
        console.print(f"hhh {PRODUCT_VERSION}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """HHH Backup: backs up SQLite and PostgreSQL databases."""
    runs_on = context.invoked_subcommand in _SERVICE
    context.with_resource(acting(Actor(ActorKind.SERVICE) if runs_on else Actor(ActorKind.CLI, _account())))


def run() -> int:
    """Runs one command; returns the exit code."""
    try:
        app()
    except (InvalidInput, ConfigurationError) as error:
        return _failed(error, EXIT_USAGE)
    except HHHError as error:
        return _failed(error, EXIT_FAILED)
    except KeyboardInterrupt:
        problems.print("Interrupted")
        return EXIT_INTERRUPTED
    return 0


def _account() -> str:
    """Who runs this, as the machine knows them: the environment may say anything."""
    return f"{account(os.getuid())}@{socket.gethostname()}"


def _failed(error: HHHError, code: int) -> int:
    problems.print(f"[bold red]Error:[/] {escape(error.message)}")
    if error.hint:
        problems.print(f"  → {escape(error.hint)}")
    return code
