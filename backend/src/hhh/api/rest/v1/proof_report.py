"""Reports of verifications, to be handed on."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from hhh.models import Scope
from hhh.schemas.proof_report import SignedProofReport
from hhh.services.proof_page import content_security_policy
from hhh.services.proof_report import page
from hhh.web.session import allowed
from hhh.web.state import services

router = APIRouter(
    prefix="/api/v1/verifications", tags=["verifications"], dependencies=[Depends(allowed(Scope.BACKUP_READ))]
)

_HTML = "text/html; charset=utf-8"


@router.get(
    "/{verification_id}/report",
    response_class=Response,
    responses={
        200: {"model": SignedProofReport, "content": {"text/html": {}}, "description": "Signed, to be kept as it is."}
    },
)
def report(
    request: Request,
    verification_id: str,
    form: Annotated[
        Literal["json", "html"],
        Query(alias="format", description="`html`: a page to print, which holds the signed JSON as well."),
    ] = "json",
) -> Response:
    """What a verification that has ended found, signed by this installation; also of one that failed."""
    content = services(request).proof_reports.issue(verification_id)
    name = f'filename="proof-report-{verification_id}.{form}"'
    if form == "json":
        return Response(content, media_type="application/json", headers={"Content-Disposition": f"attachment; {name}"})
    # Shown in the browser, to be printed. It has a policy of its own: the service's own one forbids its style.
    policy = f"{content_security_policy()}; frame-ancestors 'none'"
    headers = {"Content-Disposition": f"inline; {name}", "Content-Security-Policy": policy}
    return Response(page(content), media_type=_HTML, headers=headers)
