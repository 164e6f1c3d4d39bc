"""The databases that are backed up."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from hhh.schemas.target import TargetRequest, TargetResource
from hhh.services.targets import ListedTarget
from hhh.web.session import super_admin
from hhh.web.state import services

router = APIRouter(prefix="/api/v1/targets", tags=["targets"], dependencies=[Depends(super_admin)])


@router.post("", status_code=201)
def add(request: Request, body: TargetRequest) -> TargetResource:
    """Registers a database; its URL is kept encrypted and comes back without the password."""
    return _resource(services(request).targets.add(body.name, body.url.get_secret_value()).listed)


@router.get("")
def index(request: Request) -> list[TargetResource]:
    """`app`, then all registered databases."""
    return [_resource(target) for target in services(request).targets.list()]


def _resource(target: ListedTarget) -> TargetResource:
    return TargetResource(
        name=target.name,
        engine=target.engine,
        url=target.url,
        problem=target.problem,
        created_at=target.created_at,
    )
