"""Targets: the databases that are backed up, made, changed and tried."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.typed import Typed, WrongFieldsError, refusal
from hhh.console.views import target_form, target_view
from hhh.console.views.target_address import SSL_MODES
from hhh.console.views.target_form import Asked
from hhh.core.errors import HHHError, InvalidInput
from hhh.engines.base import EngineKind
from hhh.schemas.target import TestedTarget
from hhh.services.targets import APP
from hhh.web.forms import Fields, Form
from hhh.web.state import queue, services

router = page_router()
#: The button that tries what was typed before it is saved.
_TRY = "test"


@router.get("/targets")
def index(
    request: Request,
    search: Annotated[str, Query(max_length=63)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """The databases, by name."""
    return page(request, "targets", {"listed": target_view.listed(services(request), search.strip(), number)})


@router.get("/new-target")
def new(request: Request) -> Response:
    """The form of another one."""
    return _form(request, target_form.new_form())


@router.post("/new-target")
def add(request: Request, fields: Form) -> Response:
    """Registers a database, once it could be opened or somebody does not want to know."""
    try:
        asked, url = target_form.asked_of_new(fields)
        if tested := _failed_test(request, fields, asked):
            return _again(request, fields, tested=tested)
        services(request).targets.add(asked.name, url, asked.policy)
    except (WrongFieldsError, InvalidInput) as error:
        return _again(request, fields, error)
    return redirect(f"/targets/{asked.name}", done="target-added")


@router.get("/targets/{name}")
def show(request: Request, name: str) -> Response:
    """One database."""
    return page(request, "target", {"shown": target_view.shown(services(request), name)})


@router.get("/targets/{name}/edit")
def edit(request: Request, name: str) -> Response:
    """The form of one that is there."""
    target = services(request).targets.get(name)
    return _form(request, target_form.form_of(target, services(request).policies.of(name)), name=name)


@router.post("/targets/{name}/edit")
def change(request: Request, name: str, fields: Form) -> Response:
    """Changes a database's address and policy; of `app` only the policy."""
    present = services(request).policies.of(services(request).targets.get(name).name)
    try:
        asked = target_form.asked_of(fields, present)
        if tested := _failed_test(request, fields, Asked(name, asked.url, asked.policy)):
            return _again(request, fields, name=name, tested=tested)
        services(request).targets.update(name, asked.url, asked.policy, whole=False)
    except (WrongFieldsError, HHHError) as error:
        return _again(request, fields, error, name=name)
    return redirect(f"/targets/{name}", done="target-changed")


@router.post("/targets/{name}/test")
def test(request: Request, name: str) -> Response:
    """Opens a database, and tells on its page how that went."""
    tested = services(request).targets.test(name)
    return page(request, "target", {"shown": target_view.shown(services(request), name, tested)})


@router.post("/targets/{name}/repair")
def repair(request: Request, name: str, fields: Form) -> Response:
    """Has missing copies made again."""
    jobs = queue(request)
    jobs.enqueue(services(request).repair.request(name, new_stores=bool(fields.text("new_stores"))))
    return redirect(f"/targets/{name}", done="repair-queued")


@router.get("/targets/{name}/remove")
def ask_removal(request: Request, name: str) -> Response:
    """What goes with a database that is registered no more, and what stays."""
    return _removal(request, name)


@router.post("/targets/{name}/remove")
def remove(request: Request, name: str, fields: Form) -> Response:
    """Registers a database no more, and tells what became of what belonged to it: nothing else remembers it."""
    if fields.text("name") != name:
        return _removal(request, name, wrong="This is not its name")
    return page(request, "target_removed", {"removed": services(request).targets.remove(name)})


def _failed_test(request: Request, fields: Fields, asked: Asked) -> TestedTarget | None:
    """How a test ended that was asked for; None where it was not, or went well."""
    if fields.text("do") != _TRY:
        return None
    tested = (
        services(request).targets.try_url(asked.name, asked.url)
        if asked.url is not None
        else services(request).targets.test(asked.name)
    )
    return None if tested.ok else tested


def _again(
    request: Request,
    fields: Fields,
    error: WrongFieldsError | HHHError | None = None,
    *,
    name: str = "",
    tested: TestedTarget | None = None,
) -> Response:
    refused = refusal(error)
    typed = target_form.form_again(fields, refused.errors)
    return _form(request, typed, name=name, error=refused.error, tested=tested, status=refused.status)


def _form(
    request: Request,
    typed: Typed,
    *,
    name: str = "",
    error: HHHError | None = None,
    tested: TestedTarget | None = None,
    status: int = 200,
) -> Response:
    servers = services(request).targets.names_of_kind(EngineKind.POSTGRESQL)
    context = {
        "name": name,
        "has_address": name != APP,
        "problem": services(request).targets.get(name).problem if name else None,
        "typed": typed,
        "error": error,
        "tested": tested,
        "stores": [each.name for each in services(request).stores.list()],
        "servers": [(each, f"on the server of {each}") for each in servers if each != APP],
        "ssl_modes": [(each, each) for each in SSL_MODES],
    }
    return page(request, "target_form", context, status=status)


def _removal(request: Request, name: str, *, wrong: str = "") -> Response:
    target = services(request).targets.get(name)
    if name == APP:
        raise InvalidInput(f"The target {APP!r} is the service's own database, and always there")
    schedules = services(request).schedules.page(target=name, limit=target_view.SCHEDULES)
    context = {"target": target, "schedules": schedules, "wrong": wrong}
    return page(request, "target_remove", context, status=InvalidInput.status if wrong else 200)
