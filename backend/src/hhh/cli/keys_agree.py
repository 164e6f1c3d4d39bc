"""``hhh keys agree``: which keys all machines of an installation must have, once the old ones are no more."""

from __future__ import annotations

from hhh.cli.output import console
from hhh.cli.session import opened_services


def agree() -> None:
    """Make this machine's signing key and HHH_SECRET_KEY the ones that every worker must have.

    Only where several machines work: the others refuse to start until they have both.
    """
    with opened_services() as services:
        services.identity.agree()
        path = services.settings.signing_key_path
        several = bool(services.settings.jobs_database_url.get_secret_value())
    if several:
        console.print(
            f"Agreed. Now copy {path} to every other machine, and set the same HHH_SECRET_KEY there.", markup=False
        )
    else:
        console.print("Agreed. No other machine works for this installation: nothing else is to be done.")
