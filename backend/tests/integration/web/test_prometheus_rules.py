"""The alert rules of docs/, as Prometheus itself reads them: which fires by what, and which stays silent."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.documentation import DOCS

CASES = sorted(Path(__file__).parent.glob("prometheus-rules-*test.yml"))

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here; Debian has it in the package prometheus"
)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", DOCS / "prometheus-rules.yml")


def test_each_rule_fires_by_what_it_is_for_and_by_nothing_else() -> None:
    promtool("test", "rules", *CASES)


def test_each_rule_has_its_cases() -> None:
    rules = (DOCS / "prometheus-rules.yml").read_text()
    cases = "".join(each.read_text() for each in CASES)
    for line in rules.splitlines():
        if line.strip().startswith("- alert: "):
            assert cases.count(f"alertname: {line.split()[-1]}\n") >= 1, line
