"""Stores: where backups go, made, changed and tried."""

from __future__ import annotations

from typing import cast

from fastapi import Request
from starlette.responses import Response

from hhh.console.rendering import page
from hhh.console.routing import page_router, redirect
from hhh.console.typed import Typed, WrongFieldsError, refusal
from hhh.console.views import store_form, store_view
from hhh.core.errors import HHHError, InvalidInput
from hhh.schemas.storage import CopiesOfStore, TestedStorage
from hhh.services.stores import DEFAULT_STORE
from hhh.web.forms import Fields, Form
from hhh.web.state import services

router = page_router()
#: The button that tries what was typed before it is saved.
_TRY = "test"
#: What may become of the backups in a store that goes; nothing else is taken from the form.
_FATES: tuple[CopiesOfStore, ...] = ("forget", "forget-backups")


@router.get("/stores")
def index(request: Request) -> Response:
    """`default`, then all others by name."""
    return page(request, "stores", {"lines": store_view.listed(services(request))})


@router.get("/new-store")
def new(request: Request) -> Response:
    """The form of another one."""
    return _form(request, store_form.new_form())


@router.post("/new-store")
def add(request: Request, fields: Form) -> Response:
    """Registers a store, once it could be used or somebody does not want to know."""
    stores, name = services(request).stores, fields.text("name")
    try:
        url, options = store_form.url_of_new(fields), store_form.options_of(fields)
        if fields.text("do") == _TRY and not (tested := stores.try_new(name, url, options)).ok:
            return _again(request, fields, tested=tested)
        stores.add(name, url, options)
    except (WrongFieldsError, InvalidInput) as error:
        return _again(request, fields, error)
    return redirect(f"/stores/{name}", done="store-added")


@router.get("/stores/{name}")
def show(request: Request, name: str) -> Response:
    """One store."""
    return page(request, "store", {"shown": store_view.shown(services(request), name)})


@router.post("/stores/{name}/test")
def test(request: Request, name: str) -> Response:
    """Does in a store what a backup does, and tells on its page how that went."""
    tested = services(request).stores.test(name)
    return page(request, "store", {"shown": store_view.shown(services(request), name, tested)})


@router.get("/stores/{name}/edit")
def edit(request: Request, name: str) -> Response:
    """The form of one that is there."""
    store = services(request).stores.get(name)
    return _form(request, store_form.form_of(store), name=name)


@router.post("/stores/{name}/edit")
def change(request: Request, name: str, fields: Form) -> Response:
    """Changes a store."""
    stores = services(request).stores
    stores.get(name)
    try:
        asked = store_form.change_of(fields)
        if fields.text("do") == _TRY and not (tested := stores.try_change(name, asked)).ok:
            return _again(request, fields, name=name, tested=tested)
        stores.update(name, asked)
    except (WrongFieldsError, HHHError) as error:
        return _again(request, fields, error, name=name)
    return redirect(f"/stores/{name}", done="store-changed")


@router.get("/stores/{name}/remove")
def ask_removal(request: Request, name: str) -> Response:
    """What goes with a store that is registered no more, and what stays."""
    return _removal(request, name)


@router.post("/stores/{name}/remove")
def remove(request: Request, name: str, fields: Form) -> Response:
    """Registers a store no more, and tells what became of the backups in it: nothing else remembers it."""
    if fields.text("name") != name:
        return _removal(request, name, fields, wrong="This is not its name")
    fate = cast("CopiesOfStore | None", fields.text("copies") if fields.text("copies") in _FATES else None)
    try:
        removed = services(request).stores.remove(name, fate)
    except HHHError as error:
        if error.is_own_trouble:
            raise
        return _removal(request, name, fields, error=error)
    return page(request, "store_removed", {"removed": removed})


def _again(
    request: Request,
    fields: Fields,
    error: WrongFieldsError | HHHError | None = None,
    *,
    name: str = "",
    tested: TestedStorage | None = None,
) -> Response:
    refused = refusal(error)
    typed = store_form.form_again(fields, refused.errors)
    return _form(request, typed, name=name, error=refused.error, tested=tested, status=refused.status)


def _form(
    request: Request,
    typed: Typed,
    *,
    name: str = "",
    error: HHHError | None = None,
    tested: TestedStorage | None = None,
    status: int = 200,
) -> Response:
    if name == DEFAULT_STORE:
        raise InvalidInput("The store 'default' is that of HHH_STORAGE_URL", hint="Change that setting and restart.")
    context = {
        "name": name,
        "typed": typed,
        "error": error,
        "tested": tested,
        "kinds": store_form.KINDS,
        "kind_choices": [(scheme, kind.label) for scheme, kind in store_form.KINDS.items()],
        "secrets": store_form.secret_fields(),
        "known": services(request).stores.get(name).secrets if name else (),
    }
    return page(request, "store_form", context, status=status)


def _removal(
    request: Request, name: str, fields: Fields | None = None, *, wrong: str = "", error: HHHError | None = None
) -> Response:
    shown = store_view.shown(services(request), name)
    if shown.is_default:
        raise InvalidInput("The store 'default' is that of HHH_STORAGE_URL, and always there")
    status = error.status if error is not None else InvalidInput.status if wrong else 200
    chosen = fields.text("copies") if fields is not None else ""
    return page(
        request, "store_remove", {"shown": shown, "wrong": wrong, "error": error, "chosen": chosen}, status=status
    )
