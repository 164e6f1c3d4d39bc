"""What a scrape tells, as Prometheus's own client reads it."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families
from starlette.testclient import TestClient

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scraped:
    """The families and samples of one answer."""

    def __init__(self, text: str, media_type: str) -> None:
        self.text = text
        parse = openmetrics_families if media_type.startswith("application/openmetrics-text") else prometheus_families
        self.families: Mapping[str, Metric] = {family.name: family for family in parse(text)}

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of the one sample that has these labels and no others; None if there is none."""
        found = [sample.value for sample in self._samples() if (sample.name, sample.labels) == (name, labels)]
        assert len(found) <= 1, f"{name} {labels} is there {len(found)} times"
        return found[0] if found else None

    def labels(self, name: str) -> list[dict[str, str]]:
        """Those of every sample of that name."""
        return [sample.labels for sample in self._samples() if sample.name == name]

    @property
    def names(self) -> set[str]:
        """Of all samples."""
        return {sample.name for sample in self._samples()}

    def _samples(self) -> Iterator:
        return (sample for family in self.families.values() for sample in family.samples)


def scrape(client: TestClient, accept: str = "") -> Scraped:
    """What `/metrics` answers."""
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return Scraped(answer.text, answer.headers["Content-Type"])
