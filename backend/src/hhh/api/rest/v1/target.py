"""The databases that are backed up."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from hhh.models import Scope
from hhh.schemas.target import RemovedTarget, TargetRequest, TargetResource, TargetUpdate, TestedTarget
from hhh.services.policies import TargetPolicy
from hhh.services.targets import resource
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/targets", tags=["targets"])

_READ = [Depends(allowed(Scope.BACKUP_READ))]
_ADMIN = [Depends(allowed(Scope.ADMIN))]


@router.post("", dependencies=_ADMIN, status_code=201)
def add(request: Request, response: Response, body: TargetRequest) -> TargetResource:
    """Registers a database; its URL is kept encrypted and comes back without the password."""
    added = services(request).targets.add(body.name, body.url.get_secret_value(), body)
    response.headers["Location"] = f"/api/v1/targets/{added.name}"
    return _one(request, added.name)


@router.get("", dependencies=_READ)
def index(request: Request) -> list[TargetResource]:
    """`app`, then all registered databases."""
    targets, policies = services(request).targets.list(), services(request).policies.set_policies()
    return [resource(target, policies.get(target.name, TargetPolicy())) for target in targets]


@router.get("/{name}", dependencies=_READ)
def show(request: Request, name: str) -> TargetResource:
    """One database."""
    return _one(request, name)


@router.patch("/{name}", dependencies=_ADMIN)
def change(request: Request, name: str, body: TargetUpdate) -> TargetResource:
    """Changes what is named, and leaves the rest as it is."""
    return _update(request, name, body, whole=False)


@router.put("/{name}", dependencies=_ADMIN)
def replace(request: Request, name: str, body: TargetUpdate) -> TargetResource:
    """Sets the whole policy, with defaults for what is left out; the URL only if there is one."""
    return _update(request, name, body, whole=True)


@router.delete("/{name}", dependencies=_ADMIN)
def remove(request: Request, name: str) -> RemovedTarget:
    """Registers a database no more. No backup is deleted."""
    return services(request).targets.remove(name)


@router.post("/{name}/test", dependencies=_ADMIN)
def test(request: Request, name: str) -> TestedTarget:
    """Opens a database; 200 also if that fails, with `ok` false and the error."""
    return services(request).targets.test(name)


def _update(request: Request, name: str, body: TargetUpdate, *, whole: bool) -> TargetResource:
    url = body.url.get_secret_value() if body.url is not None else None
    return resource(services(request).targets.update(name, url, body, whole=whole), services(request).policies.of(name))


def _one(request: Request, name: str) -> TargetResource:
    return resource(services(request).targets.get(name), services(request).policies.of(name))
