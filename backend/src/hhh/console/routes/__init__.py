"""The pages, one file per room of the console: parse, one call, draw."""

from __future__ import annotations

from hhh.console.routes import (
    alerts,
    backups,
    audit,
    drills,
    first_steps,
    overview,
    restore_new,
    restores,
    retention,
    schedules,
    settings,
    sign_in,
    static,
    stores,
    targets,
    users,
    workers,
)

#: All of them, for main.py.
ROUTERS = (
    static.router,
    sign_in.router,
    first_steps.router,
    overview.router,
    backups.router,
    restore_new.router,
    restores.router,
    drills.router,
    targets.router,
    retention.router,
    stores.router,
    schedules.router,
    workers.router,
    alerts.router,
    users.router,
    settings.router,
    audit.router,
)
