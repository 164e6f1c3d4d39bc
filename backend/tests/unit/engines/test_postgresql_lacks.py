"""What the server's own words tell of the machine, and what they tell of the dump."""

import pytest

from hhh.engines.postgresql.lacks import lacking


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ('could not execute query: ERROR:  extension "postgis" is not available', "postgis"),
        ('ERROR:  extension "hstore" has no installation script nor update path for version "9.9"', "hstore"),
        (
            'ERROR:  could not open extension control file "/usr/share/x.control": No such file or directory',
            "/usr/share/x.control",
        ),
        ('ERROR:  could not access file "$libdir/mine": No such file or directory', "$libdir/mine"),
        ('ERROR:  could not load library "/usr/lib/y.so": libz.so.9: cannot open shared object file', "/usr/lib/y.so"),
        ('ERROR:  could not find function "f" in file "/usr/lib/y.so"', "/usr/lib/y.so"),
        ('ERROR:  collation "pg_catalog.de_DE.utf8" for encoding "UTF8" does not exist', "de_DE.utf8"),
        ('ERROR:  could not create locale "tlh_QO": No such file or directory', "tlh_QO"),
        ('ERROR:  invalid LC_COLLATE locale name: "xx_YY.UTF-8"', "xx_YY.UTF-8"),
        ('ERROR:  invalid locale name: "xx_YY.UTF-8"', "xx_YY.UTF-8"),
        ('ERROR:  could not open collator for locale "xx": U_ILLEGAL_ARGUMENT_ERROR', "xx"),
        ("ERROR:  ICU is not supported in this build", "ICU"),
        ('ERROR:  could not open stop-word file "/t/klingon.stop": No such file or directory', "/t/klingon.stop"),
        ('ERROR:  could not open dictionary file "/t/x.dict": No such file or directory', "/t/x.dict"),
        ('ERROR:  could not open thesaurus file "/t/x.ths": No such file or directory', "/t/x.ths"),
        ('ERROR:  could not open synonym file "/t/x.syn": No such file or directory', "/t/x.syn"),
        ("ERROR:  pg_cron can only be loaded via shared_preload_libraries", "library pg_cron"),
        ('ERROR:  pg_stat_statements must be loaded via "shared_preload_libraries"', "--drill-server"),
        ('The extensions could not be made: extension "timescaledb" must be preloaded', "library timescaledb"),
        ('ERROR:  user mapping not found for "hhh_restore_x"', "foreign server"),
        ('ERROR:  user mapping not found for user "hhh_restore_x", server "far"', "far"),
        ('ERROR:  could not connect to server "far"', "far"),
        ("ERROR:  password is required\nDETAIL:  Non-superusers must provide a password in", "foreign server"),
        ('COPY failed for table "t": ERROR:  role "boss" does not exist\nCONTEXT:  COPY t', "role boss"),
        ('COPY failed for table "a "t"": ERROR:  role "the "boss"" does not exist', 'role the "boss"'),
        ('ERROR:  could not extend file "base/1/2": No space left on device', "HHH_SCRATCH_DIR"),
        ("ERROR:  out of memory", "memory"),
        ("pg_restore was ended by SIGKILL: it said nothing", "memory"),
        ("server closed the connection unexpectedly", "server"),
    ],
)
def test_what_is_not_on_this_machine_is_named(said: str, named: str) -> None:
    told = lacking(said)
    assert told is not None
    assert named in told


@pytest.mark.parametrize(
    "said",
    [
        'ERROR:  relation "public.gone" does not exist',
        'ERROR:  duplicate key value violates unique constraint "one"',
        "ERROR:  permission denied to COPY to or from an external program",
        'ERROR:  invalid input syntax for type integer: "x"',
        "could not read from input file: end of file",
        'ERROR:  collation "public.mine" does not exist',
        'ERROR:  role "boss" does not exist',
    ],
)
def test_what_speaks_against_the_dump_is_no_lack(said: str) -> None:
    assert lacking(said) is None
