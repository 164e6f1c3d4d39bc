"""Sockets that servers listen on: bound before anything else is done, since a port that is taken ends the command."""

from __future__ import annotations

import os
import socket

from hhh.core.errors import ConfigurationError


def listening(host: str, port: int, *, hint: str) -> socket.socket:
    """A bound socket.

    Raises:
        ConfigurationError: it can't be had; with that hint.
    """
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048, reuse_port=False)
    except OSError as error:
        raise ConfigurationError(f"Can't listen on {host} port {port}: {_reason(error)}", hint=hint) from error


def _reason(error: OSError) -> str:
    # Its own text repeats the address.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
