"""``python -m hhh.cli``."""

from hhh.cli import main

main()
