"""Whether databases can be got back."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request

from hhh.schemas.recoverability import Recoverability
from hhh.web.session import super_admin
from hhh.web.state import services

router = APIRouter(prefix="/api/v1", tags=["recoverability"], dependencies=[Depends(super_admin)])


@router.get("/recoverability")
def index(request: Request) -> Sequence[Recoverability]:
    """All databases, the worst first: whether each can be got back, how fresh, and how fast."""
    return services(request).recoverability.all()


@router.get("/targets/{name}/recoverability")
def show(request: Request, name: str) -> Recoverability:
    """One database."""
    return services(request).recoverability.of(name)
