"""Who works."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1/workers", tags=["workers"], dependencies=[Depends(super_admin)])
