"""HHH Backup: backups of SQLite and PostgreSQL that are taken, stored, proven and restored."""
