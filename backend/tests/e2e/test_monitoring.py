"""A service with a separate port for those that watch it."""

import signal

import httpx

from support.ports import LOOPBACK, free_port
from support.scraping import Scraped
from support.service import ServiceFactory


def test_a_service_is_watched_on_a_port_of_its_own_and_ends_as_well_as_without(service_factory: ServiceFactory) -> None:
    port = free_port()
    service = service_factory(metrics_port=port)
    watched = f"http://{LOOPBACK}:{port}"
    assert f"Metrics: {watched}/metrics" in service.log()
    with service.signed_in_client() as client:
        client.post("/api/v1/backups/trigger").raise_for_status()

    answer = httpx.get(f"{watched}/metrics", timeout=60, trust_env=False)

    scraped = Scraped(answer.text, answer.headers["Content-Type"])
    assert scraped("hhh_backups", target="app", status="success") == 1
    assert scraped("hhh_http_requests_total", method="POST", route="/api/v1/backups/trigger", status="200") == 1
    assert scraped("hhh_workers", state="active") == 1
    assert httpx.get(f"{service.base_url}/metrics", trust_env=False).status_code == 403
    assert httpx.get(f"{service.base_url}/readyz", trust_env=False).json()["status"] == "ready"
    service.terminate()
    assert service.exit_code == -signal.SIGTERM
