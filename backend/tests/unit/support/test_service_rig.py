import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.service import Service
from support.session import current_session
from support.waiting import wait_until

STAND_IN = [sys.executable, str(Path(__file__).with_name("service_stand_in.py"))]


@pytest.fixture
def stand_in() -> Iterator[Service]:
    folder = current_session().new_folder("stand-in")
    with Service(folder, {"storage_url": "s3://b/p"}, environment={"AWS_REGION": "r"}, command=STAND_IN) as service:
        yield service


def test_it_gets_its_settings_and_nothing_else_of_our_environment(
    stand_in: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HHH_STRAY", "1")
    stand_in.restart()
    with stand_in.client() as client:
        seen = client.get("/environment").json()
    assert seen["folder"] == str(stand_in.folder)
    seen["environment"].pop("LC_CTYPE", None)  # Python's own, where no locale is set
    assert seen["environment"] == {
        "PATH": os.environ["PATH"],
        "AWS_REGION": "r",
        "HHH_ENV": "dev",
        "HHH_HOST": "127.0.0.1",
        "HHH_PORT": str(stand_in.port),
        "HHH_DATA_DIR": str(stand_in.data_dir),
        "HHH_ADMIN_EMAIL": "admin@example.com",
        "HHH_ADMIN_PASSWORD": "correct horse battery staple",
        "HHH_STORAGE_URL": "s3://b/p",
    }


def test_a_signed_in_client_sends_the_token_that_sign_in_handed_out(stand_in: Service) -> None:
    with stand_in.signed_in_client() as client:
        assert client.post("/echo", json={}).json() == {"token": "bound", "cookie": "hhh_csrf=bound"}


def test_a_refused_sign_in_is_an_error(stand_in: Service) -> None:
    with stand_in.client() as client, pytest.raises(httpx.HTTPStatusError, match="401"):
        stand_in.sign_in(client, password="wrong")


def test_terminate_lets_it_leave_and_kill_does_not(stand_in: Service) -> None:
    stand_in.terminate()
    assert stand_in.exit_code == 0
    assert stand_in.log() == "starting\nleaving in good order\n" + stand_in.stderr_file.read_text()
    stand_in.start()
    stand_in.kill()
    assert stand_in.exit_code == -signal.SIGKILL
    assert not stand_in.is_healthy()


def test_a_service_that_ends_at_start_is_reported_with_its_log() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('HHH_STORAGE_ULR is no setting')"]
    with pytest.raises(RuntimeError, match="ended at start with 1") as caught:
        Service(current_session().new_folder("broken"), command=command).start()
    assert caught.value.__notes__ == ["Its log:\nHHH_STORAGE_ULR is no setting\n"]


KILLED_SESSION = """
import os, signal, sys
from support.postgres import PostgresServers
from support.service import Service
from support.session import current_session
server = PostgresServers().shared(16)
service = Service(current_session().new_folder("service"), command=sys.argv[1:]).start()
print(current_session().folder, service.pid, server._postmaster.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_it_started_outlives_its_kill_but_not_its_close(stand_in: Service) -> None:
    with stand_in.client() as client:
        child = client.post("/child", json={}).json()["pid"]
    stand_in.kill()
    assert Path(f"/proc/{child}").exists()
    stand_in.start()
    stand_in.close()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), what="the child's end")


def test_nothing_outlives_a_test_session_that_is_killed() -> None:
    tests = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_SESSION, *STAND_IN], capture_output=True, text=True, cwd=tests, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder, *pids = killed.stdout.split()
    wait_until(lambda: not Path(folder).exists(), what="the reaper")
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], what="the processes to end")
