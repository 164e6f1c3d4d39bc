"""Keeps the code of a dump from defining anything while it is restored.

All that is restored belongs to one role at first. So a function that a CHECK constraint calls could change those of
other owners before they are given to them, and then act with the rights of those, a superuser's among them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from psycopg import sql

from hhh.engines.postgresql.connection import Connection, mapped_errors

#: What pg_restore itself asks for stands in no context but that of the trigger, one line. What is temporary harms
#: nobody.
_GUARD = """
    CREATE SCHEMA {schema};
    CREATE FUNCTION {schema}.refuse() RETURNS event_trigger LANGUAGE plpgsql SET search_path = '' AS $$
    DECLARE
        context text;
        lasting boolean;
    BEGIN
        GET DIAGNOSTICS context = PG_CONTEXT;
        IF pg_catalog.strpos(context, E'\\n') = 0 THEN
            RETURN;
        END IF;
        IF tg_event = 'sql_drop' THEN
            SELECT pg_catalog.bool_or(NOT d.is_temporary) INTO lasting
              FROM pg_catalog.pg_event_trigger_dropped_objects() d;
        ELSE
            SELECT pg_catalog.bool_or(c.schema_name IS DISTINCT FROM 'pg_temp') INTO lasting
              FROM pg_catalog.pg_event_trigger_ddl_commands() c;
        END IF;
        IF lasting THEN
            RAISE insufficient_privilege USING MESSAGE = 'the code of the dump runs ' || tg_tag || ' as it is restored',
                HINT = 'if you trust it, acknowledge superuser_objects';
        END IF;
    END $$;
    REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
    CREATE EVENT TRIGGER {on_end} ON ddl_command_end EXECUTE FUNCTION {schema}.refuse();
    CREATE EVENT TRIGGER {on_drop} ON sql_drop EXECUTE FUNCTION {schema}.refuse();
"""
_REMOVE = "DROP EVENT TRIGGER {on_end}; DROP EVENT TRIGGER {on_drop}; DROP SCHEMA {schema} CASCADE"


@contextlib.contextmanager
def definitions_refused(connection: Connection, token: str) -> Iterator[None]:
    """While the block lasts, what functions define or drop in the database is an error.

    Where the block raises, the guard stays: what was built is discarded.

    Args:
        connection: of a superuser, to a database that nobody but the restore uses.
        token: of the restore; names are made of it.

    Raises:
        EngineError: the server refused or was lost.
    """
    names = {
        "schema": sql.Identifier(f"hhh_guard_{token}"),
        "on_end": sql.Identifier(f"hhh_guard_{token}_end"),
        "on_drop": sql.Identifier(f"hhh_guard_{token}_drop"),
    }
    with mapped_errors("The code of the dump could not be guarded against"):
        connection.execute(sql.SQL(_GUARD).format(**names))
    yield
    with mapped_errors("The guard against the code of the dump could not be removed"):
        connection.execute(sql.SQL(_REMOVE).format(**names))
