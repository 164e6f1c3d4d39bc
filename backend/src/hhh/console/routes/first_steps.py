"""The first steps: is the database found, where do backups go, a key, the first backup, its proof."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from starlette.responses import Response

from hhh.console.links import link
from hhh.console.rendering import page
from hhh.console.routing import FIRST_STEPS, page_router, redirect
from hhh.console.session import PageAdmin
from hhh.console.views.first_steps_view import Tested, first_steps
from hhh.services.encryption_key import EncryptionKey, is_recipient, key_of, make_key
from hhh.web.forms import Form
from hhh.web.state import queue, services, settings

router = page_router()


@router.get(FIRST_STEPS)
def index(request: Request, made: str = "") -> Response:
    """All steps, each with its state."""
    return _drawn(request, made=made if is_recipient(made) else "")


@router.get(f"{FIRST_STEPS}/{{rest:path}}")
def again() -> Response:
    """Where a form was answered with a page of its own, and that is asked for again."""
    return redirect(FIRST_STEPS)


@router.post(f"{FIRST_STEPS}/database")
def test_database(request: Request, fields: Form) -> Response:
    """Opens a database, and tells how that went."""
    return _drawn(request, tested=Tested(target=services(request).targets.test(fields.text("target"))))


@router.post(f"{FIRST_STEPS}/store")
def test_store(request: Request, fields: Form) -> Response:
    """Writes and reads in a store, and tells how that went."""
    return _drawn(request, tested=Tested(store=services(request).stores.test(fields.text("store"))))


@router.post(f"{FIRST_STEPS}/key")
def new_key(request: Request) -> Response:
    """A new key, shown in this answer and never again: it is kept nowhere."""
    return _shown(request, make_key())


@router.post(f"{FIRST_STEPS}/key/file")
def key_file(fields: Form) -> Response:
    """The key of the page that asks, as a file."""
    key = key_of(fields.text("identity"))
    headers = {"Content-Disposition": 'attachment; filename="age-identity.txt"'}
    return Response(key.file, media_type="text/plain; charset=utf-8", headers=headers)


@router.post(f"{FIRST_STEPS}/key/saved")
def key_saved(request: Request, fields: Form) -> Response:
    """Goes on once somebody says that they have the key; only its public half goes along."""
    key = key_of(fields.text("identity"))
    if not fields.text("saved"):
        return _shown(request, key, error="Save it first, and tick this then: nobody can show it to you again")
    return redirect(link(FIRST_STEPS, {"made": key.recipient}), done="key-saved")


@router.post(f"{FIRST_STEPS}/backup")
def take(request: Request, fields: Form) -> Response:
    """Asks for the first backup; the steps follow it."""
    jobs = queue(request)
    jobs.enqueue(services(request).backups.request(fields.text("target")))
    return redirect(FIRST_STEPS, done="backup-queued")


@router.post(f"{FIRST_STEPS}/proof")
def prove(request: Request, fields: Form, admin: PageAdmin) -> Response:
    """Asks for its proof; the steps follow it."""
    jobs = queue(request)
    asked = services(request).verifications.request(fields.text("backup"), "proven", requested_by=admin.email)
    jobs.enqueue(asked)
    return redirect(FIRST_STEPS, done="verify-queued")


def _drawn(request: Request, *, tested: Tested | None = None, made: str = "") -> Response:
    return page(
        request,
        "first_steps",
        {"steps": first_steps(services(request), tested=tested, made=made), "dotenv": Path(".env").absolute()},
    )


def _shown(request: Request, key: EncryptionKey, *, error: str = "") -> Response:
    recipients = ",".join([*settings(request).age_recipients, key.recipient])
    return page(
        request,
        "first_steps_key",
        {"key": key, "recipients": recipients, "error": error, "dotenv": Path(".env").absolute()},
        status=422 if error else 200,
    )
