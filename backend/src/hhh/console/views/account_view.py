"""One's own account as its page shows it: the second factor with its QR code, and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import segno
from markupsafe import Markup

from hhh.console.typed import WrongFieldsError
from hhh.models import UserSession
from hhh.schemas.auth import LONGEST_CODE
from hhh.services.auth import Principal
from hhh.web.forms import Fields

#: Modules of white around a QR code, as its standard (ISO/IEC 18004) wants it.
_BORDER = 4


@dataclass(frozen=True, slots=True)
class ShownSession:
    """Where somebody is signed in."""

    id: str
    client: str
    address: str
    created_at: datetime
    last_seen_at: datetime | None
    is_this: bool


def shown_sessions(rows: Sequence[UserSession], user: Principal) -> list[ShownSession]:
    """Sessions, as they are given."""
    return [
        ShownSession(
            row.id,
            row.client or "Not noted",
            row.address or "Not noted",
            row.created_at,
            row.last_seen_at,
            row.id == user.credential_id,
        )
        for row in rows
    ]


def qr_code(text: str) -> Markup:
    """The ``d`` of an SVG path that draws a QR code, and its size, as ``viewBox`` has it."""
    code = segno.make(text, micro=False)
    rows = [list(row) for row in code.matrix_iter(border=_BORDER)]
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, is_dark in enumerate(row) if is_dark)
    return Markup('<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="QR code"><path d="{1}"/></svg>').format(
        len(rows), path
    )


def code_of(fields: Fields) -> str:
    """The code that was typed.

    Raises:
        WrongFieldsError: none was.
    """
    code = fields.text("code")
    if not 0 < len(code) <= LONGEST_CODE:
        raise WrongFieldsError({"code": "Type the code that your app shows now"})
    return code
