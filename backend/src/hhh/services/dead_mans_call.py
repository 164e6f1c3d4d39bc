"""The program that calls the dead man's switch, run as ``python -I -m hhh.services.dead_mans_call``.

A process of its own, since nothing else can be ended for sure: a name that nobody answers for, or a server that sends a
byte now and then. It reads the URL from standard input, so that no secret is in its arguments, and answers a line of
JSON: the ``status``, or the ``error``.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

_TIMEOUT = 10.0


def main() -> None:
    """Makes the one call."""
    sys.stdout.write(json.dumps(_called(sys.stdin.readline().strip())))


def _called(url: str) -> dict[str, object]:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "hhh-backup"})  # noqa: S310  http or https, by setting
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return {"status": answer.status}
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code}
    except OSError as error:
        return {"error": str(getattr(error, "reason", error))}
    except (HTTPException, ValueError) as error:  # what they say may have the URL in it
        return {"error": type(error).__name__}


if __name__ == "__main__":
    main()
