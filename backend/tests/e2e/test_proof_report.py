"""A database proven restorable, as told by the service, by the shell to monitoring, and by a report to an auditor."""

from pathlib import Path

from support.backing_up import assert_stored, hhh, register, trigger
from support.service import Service
from support.sqlite_data import make_sqlite_database
from support.waiting import wait_until


def test_a_drill_makes_a_database_healthy_and_its_report_proves_it(service: Service, tmp_path: Path) -> None:
    make_sqlite_database(tmp_path / "shop.db", megabytes=0.1)
    with service.signed_in_client() as client:
        register(client, "shop", f"sqlite:///{tmp_path}/shop.db")
        status = "/api/v1/targets/shop/recoverability"
        assert client.get(status).json()["state"] == "unproven"
        backup_id = assert_stored(trigger(client, "shop"))["backup_id"]
        assert hhh(service, "target", "status", "shop").returncode == 1

        asked = client.post(f"/api/v1/backups/{backup_id}/verify", json={"level": "proven"}).raise_for_status().json()
        verification = f"/api/v1/verifications/{asked['verification_id']}"
        wait_until(lambda: client.get(verification).json()["finished_at"], seconds=60, what="the drill to end")

        found = client.get(status).json()
        assert (found["state"], found["reasons"]) == ("healthy", [])
        assert found["last_proven"]["backup_id"] == backup_id
        assert found["rto_seconds"] > 0
        assert [each["target"] for each in client.get("/api/v1/recoverability").json()] == ["app", "shop"]
        page = client.get(f"{verification}/report", params={"format": "html"}).raise_for_status().content
        key = client.get(f"{verification}/report").json()["signature"]["public_key"]
    shown = hhh(service, "target", "status", "shop")
    assert (shown.returncode, "healthy" in shown.stdout) == (0, True)

    file = tmp_path / "report.html"
    file.write_bytes(page)
    genuine = hhh(service, "backup", "check-report", str(file), "--key", key)
    assert genuine.returncode == 0, genuine.stderr
    assert "PROVEN RESTORABLE" in genuine.stdout
    file.write_bytes(page.replace(b"backup_20", b"backup_21"))
    assert hhh(service, "backup", "check-report", str(file)).returncode == 1
