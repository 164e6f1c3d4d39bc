"""Triggering the backup of any database through a running service."""

import uuid
from typing import Any

from support.service import Service


def trigger(service: Service, url: str | None) -> dict[str, Any]:
    """Registers a database under a name of its own, or takes `app`, and triggers its backup; the answer's body."""
    with service.signed_in_client() as client:
        name = f"t{uuid.uuid4().hex[:8]}" if url else "app"
        if url:
            client.post("/api/v1/targets", json={"name": name, "url": url}).raise_for_status()
        body: dict[str, Any] = client.post("/api/v1/backups/trigger", json={"target": name}).json()
        return body


def failure(service: Service, url: str | None) -> str:
    """What the backup of that database fails with."""
    body = trigger(service, url)
    assert body["error"]["code"] == "ERR_BACKUP_FAILED"
    assert body["detail"].startswith("Backup failed: ")
    return str(body["detail"]).removeprefix("Backup failed: ")
