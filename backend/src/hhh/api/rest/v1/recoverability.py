"""Whether databases can be got back."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1", tags=["recoverability"], dependencies=[Depends(super_admin)])
