"""Whether databases can be got back."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request

from hhh.models import Scope
from hhh.schemas.recoverability import Recoverability
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(prefix="/api/v1", tags=["recoverability"], dependencies=[Depends(allowed(Scope.BACKUP_READ))])


@router.get("/recoverability")
def index(request: Request) -> Sequence[Recoverability]:
    """All databases, the worst first: whether each can be got back, how fresh, and how fast."""
    return services(request).recoverability.all()


@router.get("/targets/{name}/recoverability")
def show(request: Request, name: str) -> Recoverability:
    """One database."""
    return services(request).recoverability.of(name)
