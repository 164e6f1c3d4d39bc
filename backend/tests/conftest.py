"""The fixtures that every test may take; what they are stands in `support/`."""

from support.faulty_proxy import faulty_s3
from support.filesystems import small_filesystem
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
from support.s3 import s3, s3_endpoint
from support.service import service, service_factory

__all__ = [
    "any_postgres",
    "faulty_s3",
    "postgres",
    "postgres15",
    "postgres16",
    "postgres18",
    "postgres_database",
    "postgres_servers",
    "private_postgres",
    "s3",
    "s3_endpoint",
    "service",
    "service_factory",
    "small_filesystem",
]
