"""One artifact: its name, its stream into the stores, its manifest."""
