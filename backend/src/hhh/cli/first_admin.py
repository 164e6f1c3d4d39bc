"""The first super admin, made by whichever command first finds a database without one."""

from __future__ import annotations

from rich.markup import escape

from hhh.cli.output import console
from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.services.users import DEFAULT_ADMIN_EMAIL, ensure_first_super_admin


def make_first_super_admin(loaded: Settings, database: Database) -> str | None:
    """Makes them unless there is one; returns their password if it was made as well."""
    with database.transaction() as session:
        return ensure_first_super_admin(loaded, session)


def show_password(loaded: Settings, made_password: str | None) -> None:
    """Prints a password that was made, once."""
    if made_password:
        console.print(
            f"\nThe first super admin was made, and this password is shown once:\n"
            f"  e-mail    {escape(loaded.admin_email or DEFAULT_ADMIN_EMAIL)}\n  password  {escape(made_password)}\n"
        )
