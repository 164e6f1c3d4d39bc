"""What tests of the whole service ask for again and again: backups through the API, and what is left of them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from support.faulty_proxy import FaultyS3, Request, any_upload
from support.forking import run_hhh
from support.service import Service
from support.waiting import wait_until

BACKUPS = "/api/v1/backups"
TRIGGER = f"{BACKUPS}/trigger"
LOGS = f"{BACKUPS}/logs"
STATS = f"{BACKUPS}/stats"
TARGETS = "/api/v1/targets"
ASYNC = {"Prefer": "respond-async"}

_SCRATCH = "hhh-scratch-*"


def trigger(client: httpx.Client, target: str = "app", *, respond_async: bool = False) -> httpx.Response:
    """Ask for a backup; waits for its end unless `respond_async`."""
    return client.post(TRIGGER, json={"target": target}, headers=ASYNC if respond_async else {})


@contextlib.contextmanager
def triggering(client: httpx.Client, target: str = "app") -> Iterator["Future[httpx.Response]"]:
    """A waiting trigger, beside the block; its answer comes in the future."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(trigger, client, target)


def register(client: httpx.Client, name: str, url: str) -> str:
    """Register a target and answer its name."""
    client.post(TARGETS, json={"name": name, "url": url}).raise_for_status()
    return name


def backup(client: httpx.Client, backup_id: str) -> dict[str, Any]:
    """The rich resource."""
    answer: dict[str, Any] = client.get(f"{BACKUPS}/{backup_id}").raise_for_status().json()
    return answer


def newest(client: httpx.Client, target: str = "app") -> dict[str, Any]:
    """The newest backup of a target."""
    page = client.get(BACKUPS, params={"target": target, "limit": 1}).raise_for_status().json()
    answer: dict[str, Any] = page["items"][0]
    return answer


def wait_for_end(client: httpx.Client, backup_id: str, *, seconds: float = 30) -> dict[str, Any]:
    """Poll, as a client of the asynchronous trigger does, until the backup has ended."""

    def ended() -> dict[str, Any]:
        found = backup(client, backup_id)
        return found if found["status"] not in {"queued", "running"} else {}

    return wait_until(ended, seconds=seconds, what=f"the end of backup {backup_id}")


def stored_files(service: Service) -> list[str]:
    """All files in the service's own local store, unfinished ones included."""
    return files_below(service.data_dir / "backups")


def files_below(folder: Path) -> list[str]:
    """All files, by their names below the folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def scratch_leftovers(folder: Path) -> list[str]:
    """What is left of runs in a scratch folder."""
    return sorted(path.name for path in folder.glob(_SCRATCH))


def assert_stored(response: httpx.Response) -> dict[str, Any]:
    """The runbook's answer of a backup that is stored."""
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer.keys() == {"success", "message", "backup_file", "backup_size", "backup_id"}
    assert answer["success"] is True
    assert answer["message"] == "Backup completed successfully"
    assert answer["backup_size"] > 0
    return answer


def assert_failed(response: httpx.Response, client: httpx.Client, *, target: str = "app", saying: str = "") -> str:
    """The runbook's answer of a backup that failed, and a FAILED row with the same reason; answers the reason."""
    assert response.status_code == 500, response.text
    answer = response.json()
    assert answer["error"]["code"] == "ERR_BACKUP_FAILED"
    assert answer["detail"].startswith("Backup failed: ")
    reason: str = answer["detail"].removeprefix("Backup failed: ")
    row = newest(client, target)
    assert (row["status"], row["error"]) == ("failed", reason)
    assert (row["stored_size"], row["copies"], row["manifest"]) == (0, [], None)
    logged = client.get(LOGS, params={"limit": 1}).json()[0]
    assert (logged["id"], logged["status"], logged["backup_size"]) == (row["id"], "BackupStatus.FAILED", 0)
    assert saying in reason, reason
    return reason


def assert_totals_add_up(client: httpx.Client) -> dict[str, Any]:
    """The totals are those of the logs; answers them."""
    logs: list[dict[str, Any]] = []
    while page := client.get(LOGS, params={"limit": 200, "offset": len(logs)}).raise_for_status().json():
        logs += page
    stored = [entry for entry in logs if entry["status"] == "BackupStatus.SUCCESS"]
    stats: dict[str, Any] = client.get(STATS).raise_for_status().json()
    assert stats["total_backups"] == len(logs)
    assert stats["successful_backups"] == len(stored)
    assert stats["failed_backups"] == len(logs) - len(stored)
    assert stats["total_backup_size"] == sum(entry["backup_size"] for entry in stored)
    latest = stats["latest_backup"]
    assert (latest and latest["file"]) == (stored[0]["backup_file"] if stored else None)
    return stats


def upload_of_a_dump(request: Request) -> bool:
    """Matches the upload of the object that holds the dump, in one piece or in parts."""
    return any_upload(request) and request.path.endswith((".zst", ".zst.age")) and ".schema.dump" not in request.path


def store_settings(store: FaultyS3) -> dict[str, Any]:
    """The arguments of `service_factory` for a service that stores in that bucket."""
    return {"storage_url": store.bucket.url(), "environment": store.bucket.environment()}


def hhh(
    service: Service, *arguments: str, standard_input: str = "", environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command beside a service: same settings, another process."""
    return run_hhh(
        arguments,
        folder=service.folder,
        environment={**service.environment, "COLUMNS": "200", **(environment or {})},
        stdin=standard_input,
    )


def children_of(pid: int) -> list[int]:
    """The living descendants of a process."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def command_lines(pids: list[int]) -> bytes:
    """The arguments of processes, as every user of the machine can read them."""
    lines = b""
    for pid in pids:
        with contextlib.suppress(OSError):
            lines += Path(f"/proc/{pid}/cmdline").read_bytes() + os.linesep.encode()
    return lines
