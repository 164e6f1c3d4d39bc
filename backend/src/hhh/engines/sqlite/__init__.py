"""SQLite: backups and restores by a child process that opens the files."""
