"""Style, script and pictures."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from hhh.console.assets import assets
from hhh.core.errors import NotFound

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """One file, to be kept as long as its link has the same digest."""
    asset = assets().get(name)
    if asset is None:
        raise NotFound("There is no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(asset.content, media_type=asset.media_type, headers=headers)
