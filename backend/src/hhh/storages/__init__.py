"""The places where backups are kept: one interface, a file per kind, a literal registry."""
