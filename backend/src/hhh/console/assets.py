"""Style, script and pictures: read once, named by what is in them, so that browsers keep them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """All of them, by name."""
    folder = resources.files("hhh.console") / "static"
    found = ((file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file())
    return {
        name: Asset(content, media_type, hashlib.sha256(content).hexdigest()[:16])
        for name, content in found
        if (media_type := _TYPES.get("." + name.rpartition(".")[2])) is not None
    }


def link(name: str) -> str:
    """Where a page finds an asset; another place once its content is another."""
    return f"/static/{name}?v={assets()[name].digest}"
