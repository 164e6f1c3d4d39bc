"""What a backup of 500 GB would take in memory while it goes to several object stores."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

from support import storing_process
from support.discarding_s3 import DiscardingS3

MIB = 1 << 20
#: As many as fill every part and every queue, some times over.
MEGABYTES = 400


@pytest.mark.soak
@pytest.mark.parametrize("pauses", [(0,), (0, 0, 0), (0, 0.5, 1.5)], ids=["one", "three", "three, one behind another"])
@pytest.mark.parametrize("expected", [10**9, 500 * 10**9])
def test_large_parts_of_several_stores_share_their_memory(pauses: Sequence[float], expected: int) -> None:
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(DiscardingS3(pause)) for pause in pauses]
        arguments = [str(MEGABYTES), str(expected), *(store.endpoint for store in stores)]
        sent = subprocess.run(
            [sys.executable, storing_process.__file__, *arguments], capture_output=True, text=True, check=True
        )
        assert [store.received for store in stores] == [MEGABYTES * MIB] * len(stores)
    # What is left of 256 MiB is for the dump and the rest of a service.
    assert int(sent.stdout) < 160 * MIB
