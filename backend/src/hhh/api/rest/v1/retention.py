"""What is kept of a target's backups, and why."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1/targets", tags=["retention"], dependencies=[Depends(super_admin)])
