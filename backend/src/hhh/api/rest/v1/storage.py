"""The stores that backups go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import Scope
from hhh.schemas.storage import (
    CopiesOfStore,
    GivenOptions,
    RemovedStorage,
    StorageRequest,
    StorageResource,
    StorageUpdate,
    TestedStorage,
)
from hhh.services.stores import StoreChange
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/storages", tags=["storages"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_ADMIN = [Depends(allowed(Scope.ADMIN))]

_Copies = Annotated[
    CopiesOfStore | None,
    Query(
        description="What becomes of the copies in it; none of them is deleted. `forget`: the catalogue has them no "
        "longer; refused if a backup is nowhere else. `forget-backups`: it has those backups no longer either."
    ),
]


@router.post("", dependencies=_ADMIN, status_code=201)
def add(request: Request, response: Response, body: StorageRequest) -> StorageResource:
    """Registers a store; its secret options are kept encrypted and never come back."""
    options = {name: value for name, value in _plain(body.options).items() if value is not None}
    added = services(request).stores.add(body.name, body.url, options)
    response.headers["Location"] = f"/api/v1/storages/{added.name}"
    return added


@router.get("", dependencies=_READ)
def index(request: Request) -> Sequence[StorageResource]:
    """`default`, then all registered stores."""
    return services(request).stores.list()


@router.get("/{name}", dependencies=_READ)
def show(request: Request, name: str) -> StorageResource:
    """One store."""
    return services(request).stores.get(name)


@router.patch("/{name}", dependencies=_ADMIN)
def change(request: Request, name: str, body: StorageUpdate) -> StorageResource:
    """Changes what is named, and leaves the rest as it is."""
    return _update(request, name, body, whole=False)


@router.put("/{name}", dependencies=_ADMIN)
def replace(request: Request, name: str, body: StorageUpdate) -> StorageResource:
    """As the change of parts, but options that are no secret and left out go."""
    return _update(request, name, body, whole=True)


@router.delete("/{name}", dependencies=_ADMIN)
def remove(request: Request, name: str, copies: _Copies = None) -> RemovedStorage:
    """Registers a store no more. Every object stays in it."""
    return services(request).stores.remove(name, copies)


@router.post("/{name}/test", dependencies=_ADMIN)
def test(request: Request, name: str) -> TestedStorage:
    """Does in a store what a backup does; 200 also if that fails, with `ok` false and the error."""
    return services(request).stores.test(name)


def _update(request: Request, name: str, body: StorageUpdate, *, whole: bool) -> StorageResource:
    change = StoreChange(body.url, _plain(body.options), whole=whole, objects_moved=body.objects_moved)
    return services(request).stores.update(name, change)


def _plain(options: GivenOptions) -> dict[str, str | None]:
    return {name: value.get_secret_value() if value is not None else None for name, value in options.items()}
