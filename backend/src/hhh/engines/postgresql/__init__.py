"""PostgreSQL: backups by the server's own pg_dump, restores by its pg_restore."""
