"""The service's own databases."""

from support.own_databases import own_database, postgresql_database, settings, sqlite_database

__all__ = ["own_database", "postgresql_database", "settings", "sqlite_database"]
