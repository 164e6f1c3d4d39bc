"""A backup under way: watched and cancelled."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1/backups", tags=["backups"], dependencies=[Depends(super_admin)])
