"""A program of its own: writes to a SQLite database, transaction after transaction, until its standard input ends.

Each transaction moves money between two accounts that lie on different pages, notes the transfer and counts it, so that
in any consistent copy the sum of all balances is what it was and the count is the number of transfers. After each
commit the count goes to standard output. Arguments: the database's path, the journal mode.
"""

import contextlib
import random
import sqlite3
import sys
import threading

ACCOUNTS = 300
TOTAL = ACCOUNTS * 1000

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, padding BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS transfer (number INTEGER PRIMARY KEY, source INTEGER, sink INTEGER, amount INTEGER);
CREATE TABLE IF NOT EXISTS counter (transfers INTEGER NOT NULL);
"""


def prepare(connection: sqlite3.Connection) -> int:
    """Make the tables where they are missing; answer the transfers there are."""
    connection.executescript(SCHEMA)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM account").fetchone() == (0,):
        # The padding puts one account on each page.
        connection.executemany(
            "INSERT INTO account VALUES (?, 1000, zeroblob(2500))", ((number,) for number in range(ACCOUNTS))
        )
        connection.execute("INSERT INTO counter VALUES (0)")
    connection.execute("COMMIT")
    count: int = connection.execute("SELECT transfers FROM counter").fetchone()[0]
    return count


def transfer(connection: sqlite3.Connection, number: int) -> None:
    """One transaction that keeps the invariant, and breaks it in between."""
    source, sink = random.sample(range(ACCOUNTS), 2)
    amount = random.randint(1, 100)
    change = "UPDATE account SET balance = balance + ? WHERE id = ?"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(change, (-amount, source))
    connection.execute("INSERT INTO transfer VALUES (?, ?, ?, ?)", (number, source, sink, amount))
    connection.execute("UPDATE counter SET transfers = ?", (number,))
    connection.execute(change, (amount, sink))
    connection.execute("COMMIT")


def wait_for_the_end_of_input(told_to_stop: threading.Event) -> None:
    """The parent closes our standard input, or has died."""
    sys.stdin.read()
    told_to_stop.set()


def main() -> None:
    """Write until told to stop."""
    path, journal_mode = sys.argv[1:]
    told_to_stop = threading.Event()
    threading.Thread(target=wait_for_the_end_of_input, args=[told_to_stop], daemon=True).start()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        number = prepare(connection)
        while not told_to_stop.is_set():
            number += 1
            transfer(connection, number)
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
