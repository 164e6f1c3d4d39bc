"""The program that opens SQLite files for the service: a child process that it talks to over pipes, like pg_dump.

apsw may never be used in the service's own process: two SQLite libraries in one process drop each other's POSIX locks
(https://www.sqlite.org/howtocorrupt.html, section 2.2). It needs nothing but the standard library, apsw and this
package, so that it starts in some 30 ms; nothing in it imports pathlib, which would take as long as all the rest.

`hhh.engines.sqlite.child.protocol` says how it is spoken to, `hhh.engines.sqlite.child.operations` what it does.
"""
