"""Commands that run beside a test."""

import contextlib
import subprocess
from collections.abc import Iterator

from support.service import Service, hhh_command
from support.session import current_session

#: Shells start what they have in the background, such as a run of all tests, so that it does not hear of Ctrl-C.
_HEARS_OF_INTERRUPTS = ("env", "--default-signal=INT")


@contextlib.contextmanager
def beside(service: Service, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`hhh` with the folder and the settings of a service; gone after the block, however that ends."""
    with subprocess.Popen(
        [*_HEARS_OF_INTERRUPTS, *hhh_command(), *arguments],
        cwd=service.folder,
        env={**service.environment, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        current_session().watch(process)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            current_session().release(process)
