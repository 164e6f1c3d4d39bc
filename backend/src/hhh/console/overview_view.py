"""What the overview shows; of the last days, the page of a target as well."""

from __future__ import annotations

from collections.abc import Sequence

from hhh.console.history_view import HistoryView, drawn
from hhh.services.container import Services


def history_of(services: Services, targets: Sequence[str]) -> HistoryView:
    """The last 30 days of some targets, for the macros of `charts.html.j2`.

    On the page of one target: ``{% import "charts.html.j2" as charts %}``, then ``{{ charts.timeline(history) }}``
    and ``{{ charts.figures(history) }}``, each a section with a heading of the second level, with ``history`` being
    ``history_of(services, [name])``.
    """
    return drawn(services.history.of(targets))
