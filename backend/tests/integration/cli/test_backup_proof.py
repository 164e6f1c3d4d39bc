"""`hhh backup run` of a target whose backups are to be verified, where a service runs and where none does."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from hhh.cli import backup as command
from hhh.core.errors import VerificationFailed
from hhh.core.run import Unattended
from hhh.jobs.worker import working
from hhh.schemas.policy import PolicyFields
from hhh.schemas.verification import VerificationFilter
from hhh.services.container import Services
from support.sweeping import SOURCE


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.app, ["run", SOURCE, *arguments])


def demand(services: Services, **demands: object) -> None:
    services.targets.update(SOURCE, None, PolicyFields.model_validate(demands), whole=True)


def verifications(services: Services) -> list[tuple[str, str, str]]:
    """Newest first."""
    page = services.verifications.page(VerificationFilter(target=SOURCE), cursor=None, limit=9)
    return [(each.level, each.status, each.requested_by) for each in page.items]


def test_where_no_service_runs_it_is_verified_here_before_older_ones_are_dropped(services: Services) -> None:
    demand(services, verify_after_backup="readable", retention={"keep_last": 1})
    done = run()
    assert done.exit_code == 0, done.output
    stored, *_, dropped = done.stdout.splitlines()
    assert stored.startswith("Stored backup_")
    assert "is readable: it was opened and read to its end." in done.output
    assert dropped.startswith("Dropped backup_")
    assert verifications(services) == [("readable", "success", "policy")]
    assert json.loads(run("--json").stdout)["verified"]["level"] == "readable"


def test_one_that_fails_is_kept_and_ends_the_command_without_success(services: Services) -> None:
    demand(services, verify_after_backup="proven", assertions=["SELECT false"], retention={"keep_last": 1})
    done = run()
    assert isinstance(done.exception, VerificationFailed)
    assert "Stored backup_" in done.output
    assert "Dropped" not in done.output
    assert services.catalogue.stats().successful_backups == 2


def test_what_was_imported_or_left_before_is_verified_as_well(services: Services) -> None:
    demand(services, verify_after_backup="stored")
    file = services.targets.find(SOURCE).url.removeprefix("sqlite:///")
    services.imports.take_in(Path(file), SOURCE, Unattended())
    assert run().exit_code == 0
    assert verifications(services) == [("stored", "success", "policy")] * 2
    assert run().exit_code == 0
    assert len(verifications(services)) == 3


def test_where_a_service_runs_that_takes_verifications_it_is_left_to_that(services: Services) -> None:
    demand(services, verify_after_backup="stored")
    with working(services, slots=1):
        assert run().exit_code == 0
    assert verifications(services) == []
    assert len(services.verification_work.demanded(SOURCE)) == 1
