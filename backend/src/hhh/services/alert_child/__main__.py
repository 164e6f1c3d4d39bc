"""The program, run as ``python -I -m hhh.services.alert_child``."""

from __future__ import annotations

from hhh.services.alert_child.sending import main

main()
