"""The databases that can be backed up: one interface, a file per kind, a literal registry."""
