"""The two databases that are backed up: the same shop in PostgreSQL and in SQLite."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import uuid
from pathlib import Path
from typing import LiteralString

from psycopg import sql

from bench.rows import COLUMNS, Shop, amounts
from support.postgres_server import PostgresServer

_TABLES: LiteralString = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, address TEXT, born DATE, joined TIMESTAMP NOT NULL,
    profile JSON NOT NULL
);
CREATE TABLE products (
    id INTEGER PRIMARY KEY, sku TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL, price NUMERIC NOT NULL,
    stock INTEGER NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, state TEXT NOT NULL,
    total NUMERIC NOT NULL, address TEXT NOT NULL, placed TIMESTAMP NOT NULL
);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders, line INTEGER NOT NULL, product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL, price NUMERIC NOT NULL, PRIMARY KEY (order_id, line)
);
CREATE TABLE events (
    id UUID PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, kind TEXT NOT NULL, at TIMESTAMP NOT NULL,
    payload JSON NOT NULL
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, order_id INTEGER REFERENCES orders,
    sent TIMESTAMP NOT NULL, body TEXT NOT NULL
);
"""

_INDEXES: LiteralString = """
CREATE UNIQUE INDEX customers_email ON customers (email);
CREATE UNIQUE INDEX products_sku ON products (sku);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_open ON orders (placed) WHERE state = 'open';
CREATE INDEX order_items_product ON order_items (product_id);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_customer ON events (customer_id, at);
CREATE INDEX messages_customer ON messages (customer_id);
"""

#: Megabytes on disk for each that `amounts` reckons with.
_POSTGRES_SIZE, _SQLITE_SIZE = 1.12, 0.91
#: The same words mean more to PostgreSQL.
_POSTGRES_TYPES = {" TIMESTAMP ": " TIMESTAMPTZ ", " JSON ": " JSONB ", " NUMERIC ": " NUMERIC(12, 2) "}


def fill_postgres(server: PostgresServer, database: str, megabytes: float) -> int:
    """Fills an empty database with a shop of about that size; returns its size in bytes."""
    tables = _TABLES
    for general, own in _POSTGRES_TYPES.items():
        tables = tables.replace(general, own)
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(tables.encode())
        for table, rows in Shop(amounts(megabytes / _POSTGRES_SIZE)).tables():
            columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)) as copy:
                for row in rows:
                    copy.write_row(row)
        cursor.execute(_INDEXES)
    # As autovacuum would have done in a database that has been there for a day.
    server.execute("VACUUM (ANALYZE)", database=database)
    server.execute("CHECKPOINT", database=database)
    with server.connect(database) as connection:
        (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return int(size)


def fill_sqlite(path: Path, megabytes: float) -> int:
    """Makes a shop of about that size, in WAL mode; returns the file's size in bytes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(_TABLES)
        for table, rows in Shop(amounts(megabytes / _SQLITE_SIZE)).tables():
            marks = ", ".join("?" for _ in COLUMNS[table])
            statement = f"INSERT INTO {table} VALUES ({marks})"
            connection.executemany(statement, (tuple(map(_for_sqlite, row)) for row in rows))
        connection.commit()
        connection.executescript(_INDEXES)
        connection.execute("PRAGMA journal_mode = WAL")
    return path.stat().st_size


def _for_sqlite(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    return str(value) if isinstance(value, dt.date | uuid.UUID) else value
