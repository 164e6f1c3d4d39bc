"""Verifications: asked for, followed, cancelled; and the reports that prove them."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from hhh.web.session import super_admin

router = APIRouter(prefix="/api/v1", tags=["verifications"], dependencies=[Depends(super_admin)])
