"""The pages, one file per room of the console: parse, one call, draw."""

from __future__ import annotations

from hhh.console.routes import (
    account,
    alerts,
    audit,
    backups,
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
    tokens,
    users,
    workers,
)

#: All of them, for main.py.
ROUTERS = (
    static.router,
    sign_in.router,
    account.router,
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
    audit.router,
    users.router,
    tokens.router,
    settings.router,
)
