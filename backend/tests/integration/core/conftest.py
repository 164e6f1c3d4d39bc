"""The service's own databases."""

from support.own_databases import postgresql_database

__all__ = ["postgresql_database"]
