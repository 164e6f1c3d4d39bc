"""What processes of `support.forking` have before they begin: the modules of `hhh`, and its commands put together.

Nothing of it starts a thread. What it reads of the environment, each process reads again: see `renew`.
"""

import functools
import gc
import importlib

import typer.main
from rich.console import Console

from hhh.cli import app, output

#: What `hhh` or a library loads when it is first needed, and takes long.
_NEEDED = (
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "hhh.cli.server",
    "hhh.main",
    "rich._emoji_codes",
    "rich.progress",
    "rich.table",
    "typer._adapters",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.auto",
    "zxcvbn",
)

for _name in _NEEDED:
    importlib.import_module(_name)
# To put all 80 commands together takes as long as to load them.
typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(app.app)
# Who looks through all of this for garbage would get a copy of it.
gc.collect()
gc.freeze()


def renew() -> None:
    """Has what is printed fit this process's environment and files."""
    for console in (output.console, output.problems):
        hooks = [*console._render_hooks]
        Console.__init__(console, stderr=console.stderr, highlight=False, soft_wrap=True)
        for hook in hooks:
            console.push_render_hook(hook)
