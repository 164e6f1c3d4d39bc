"""The benchmark: what a backup costs here, held against the tools one would use instead. See README.md."""
