"""``hhh worker``: runs jobs, beside others, from a shared PostgreSQL jobs database."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
from logging import INFO
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hhh.cli.ending import end_by
from hhh.cli.monitoring_port import monitoring_listener, monitoring_port
from hhh.cli.output import JsonOption, console, moment, print_json, print_table
from hhh.cli.queues import QueuesOption, said, with_queues
from hhh.cli.session import opened_services, own_database, settings
from hhh.core.config import QueueName, Settings
from hhh.core.errors import ConfigurationError
from hhh.schemas.worker import WorkerResource

if TYPE_CHECKING:
    from hhh.jobs.runtime import Jobs
    from hhh.services.container import Services
    from hhh.web.monitoring import Monitoring

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds between two looks for a signal that another thread was given.
_STEP = 0.5

app = typer.Typer(help="Run jobs, beside `hhh serve` and other workers.", invoke_without_command=True)


@app.callback()
def worker(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What to call it; default: host and process id.")] = "",
    queues: QueuesOption = None,
) -> None:
    """Run jobs, until the process is asked to stop. Any number may share one jobs database."""
    if context.invoked_subcommand is None:
        _work(name, queues)


@app.command("list")
def index(*, as_json: JsonOption = False) -> None:
    """List all processes that take jobs, `hhh serve` among them, and what they are at."""
    with opened_services() as services:
        workers, untaken = services.workers.list(), services.workers.untaken()
    if as_json:
        print_json(workers)
        return
    print_table(
        ["NAME", "HOST", "STATE", "SLOTS", "TAKES", "RUNNING", "LAST SIGN OF LIFE (UTC)"],
        [_row(each) for each in workers],
        empty="No worker runs.",
    )
    if untaken and (workers or any(untaken.values())):
        console.print(f"Nobody takes: {', '.join(_untaken(*each) for each in untaken.items())}")


def _row(worker: WorkerResource) -> tuple[str, ...]:
    state = worker.state if worker.alive else "silent"
    running = ", ".join(f"{job.kind} {job.target}" for job in worker.running)
    return worker.name, worker.host, state, str(worker.slots), said(worker.queues), running, moment(worker.heartbeat_at)


def _untaken(name: QueueName, waiting: int) -> str:
    return f"{name} ({waiting} waiting)" if waiting else name


def require_jobs_database(loaded: Settings, command: str) -> None:
    """Refuses a command that leaves work to other processes, or shares it with them, where there can be none.

    Raises:
        ConfigurationError: no jobs database is set.
    """
    if not loaded.jobs_database_url.get_secret_value():
        raise ConfigurationError(
            f"`{command}` needs HHH_JOBS_DATABASE_URL",
            hint="set it to a PostgreSQL database of its own that all processes share; `hhh serve` alone needs none",
        )


def _work(name: str, queues: str | None) -> None:
    from hhh.jobs.runtime import Jobs
    from hhh.services.container import assemble

    loaded = with_queues(settings(level=INFO), queues)
    require_jobs_database(loaded, "hhh worker")
    signals = _first_signals()
    with own_database(loaded) as database, monitoring_listener(loaded) as watched:
        services = assemble(loaded, database)
        jobs = Jobs(services, label=name)
        with monitoring_port(watched, lambda: _monitoring(services, jobs)):
            try:
                jobs.start()
                asked = _take_jobs(loaded, signals)
            finally:
                jobs.stop()
    end_by(asked)


def _take_jobs(loaded: Settings, signals: queue.SimpleQueue[int]) -> int:
    """Waits until the process is asked to stop; by which signal."""
    takes = f"({said(loaded.worker_queues)}), {loaded.worker_slots} at once"
    console.print(f"Taking jobs {takes}. Stop it with SIGTERM or Ctrl-C.")
    asked = _wait_for(signals)
    console.print(f"Stopping: what runs may end within {loaded.drain_seconds:g} s. A second signal ends it now.")
    return asked


def _monitoring(services: Services, jobs: Jobs) -> Monitoring:
    from hhh.web.monitoring import Monitoring

    return Monitoring(services, jobs, None)


def _wait_for(signals: queue.SimpleQueue[int]) -> int:
    # In steps: the kernel may give the signal to another thread, e.g. while this one wakes up after SIGCONT, and then
    # nothing interrupts a wait for good, and Python runs no handler.
    while True:
        with contextlib.suppress(queue.Empty):
            return signals.get(timeout=_STEP)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    end_by(number)


def _first_signals() -> queue.SimpleQueue[int]:
    """What gets the first signal to stop; the second one ends the process as if nobody had asked for it."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()  # its `put` may interrupt its own `get`

    # As Python need not be asked then, it ends one that hangs, too; but not the first process of a container.
    second = _end_at_once if os.getpid() == 1 else signal.SIG_DFL

    def take(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, second)
        signals.put(number)

    for each in _SIGNALS:
        signal.signal(each, take)
    return signals
