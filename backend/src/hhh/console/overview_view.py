"""What the overview shows; of the last days, the page of a target as well."""

from __future__ import annotations

from collections.abc import Sequence

from hhh.services.container import Services
from hhh.services.history import History


def history_of(services: Services, targets: Sequence[str]) -> History:
    """The last 30 days of some targets, for the macros of `charts.html.j2`.

    Of one target: ``{% import "charts.html.j2" as charts %}``, then ``{{ charts.timeline(history) }}`` and
    ``{{ charts.figures(history) }}``, with ``history`` being ``history_of(services, [name])``.
    """
    return services.history.of(targets)
