"""The fixtures that every test may take; what they are stands in `support/`."""

from support.postgres import (
    any_postgres,
    postgres,
    postgres15,
    postgres16,
    postgres18,
    postgres_database,
    postgres_servers,
    private_postgres,
)
from support.service import service, service_factory

__all__ = [
    "any_postgres",
    "postgres",
    "postgres15",
    "postgres16",
    "postgres18",
    "postgres_database",
    "postgres_servers",
    "private_postgres",
    "service",
    "service_factory",
]
