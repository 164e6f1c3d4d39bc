"""When targets are backed up."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"], dependencies=[Depends(super_admin)])
