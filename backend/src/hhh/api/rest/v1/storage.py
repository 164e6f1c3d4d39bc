"""The stores that backups go to."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1/storages", tags=["storages"], dependencies=[Depends(super_admin)])
