"""The separate port: of a process that serves, and of one that only works."""

from pathlib import Path

import httpx
import pytest

from hhh.cli.listening import listening
from hhh.cli.monitoring_port import monitoring_listener, monitoring_port
from hhh.core.database import Database
from hhh.core.errors import ConfigurationError
from hhh.jobs.runtime import Jobs
from hhh.services.container import assemble
from hhh.web.http_metrics import HttpMetrics
from hhh.web.monitoring import Monitoring
from support.local_services import settings_in
from support.ports import LOOPBACK, free_port, is_listening
from support.scraping import Scraped


def test_it_answers_until_the_process_ends_and_has_nothing_else(tmp_path: Path, sqlite_database: Database) -> None:
    port = free_port()
    services = assemble(settings_in(tmp_path, metrics_port=port), sqlite_database)
    jobs = Jobs(services)
    with (
        monitoring_listener(services.settings) as listener,
        monitoring_port(listener, lambda: Monitoring(services, jobs, HttpMetrics())),
        httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=60) as client,
    ):
        answer = client.get("/metrics")
        assert Scraped(answer.text, answer.headers["Content-Type"])("hhh_own_database_up") == 1
        assert client.get("/readyz").json() == {"status": "ready", "missing": []}
        jobs.stop()
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
        paths = ("/", "/sign-in", "/openapi.json", "/api/v1/monitor", "/api/v1/auth/health", "/metrics/", "/static/x")
        assert {client.get(path, follow_redirects=False).status_code for path in paths} == {404}
        assert {client.post(path).status_code for path in ("/metrics", "/healthz", "/readyz")} == {405}
    assert not is_listening(port)


def test_none_is_opened_unless_it_was_asked_for(tmp_path: Path) -> None:
    with monitoring_listener(settings_in(tmp_path)) as listener:
        assert listener is None


def test_a_port_that_is_taken_ends_the_command(tmp_path: Path) -> None:
    with listening(LOOPBACK, 0, hint="") as taken:
        settings = settings_in(tmp_path, metrics_port=taken.getsockname()[1])
        with (
            pytest.raises(ConfigurationError, match="Address already in use") as failed,
            monitoring_listener(settings),
        ):
            pass
    assert "HHH_METRICS_PORT" in str(failed.value.hint)
