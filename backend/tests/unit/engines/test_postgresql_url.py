from urllib.parse import quote

import pytest

from hhh.core.errors import InvalidInput
from hhh.engines.postgresql.engine import PostgresqlEngine
from hhh.engines.postgresql.url import parse_url

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+psycopg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u@h/d?sslrootcert=/etc/ca.pem&sslmode=require", "postgresql://u@h/d?sslmode=require&sslrootcert=/etc/ca.pem"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("postgresql://%2Frun%2Fpostgresql/d", "postgresql:///d?host=/run/postgresql"),
        ("postgresql://u:p@[::1]:5432/d", "postgresql://u:p@[::1]:5432/d"),
        ("postgresql://u:a b@h/d", "postgresql://u:a%20b@h/d"),
        ("postgresql://u:p@h/a%3Db%20c", "postgresql://u:p@h/a%3Db%20c"),
    ],
)  # fmt: skip
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    assert PostgresqlEngine().validate(url) == normal
    assert PostgresqlEngine().validate(normal) == normal


@pytest.mark.parametrize("password", ["a:b\\c", "@/?#%", "é 表", "%41", "+", "'quoted'"])
def test_a_password_of_any_characters_survives(password: str) -> None:
    address = parse_url(f"postgresql://u:{quote(password, safe='')}@h/d")
    assert address.password == password
    assert parse_url(address.url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"mysql://u:{SECRET}@h/d", "does not begin with postgresql://"),
        (f"postgresql:u:{SECRET}@h/d", "does not begin with postgresql://"),
        (f"host=h password={SECRET}", "does not begin with postgresql://"),
        (f"postgresql://u:{SECRET}@h", "names no database"),
        (f"postgresql://u:{SECRET}@/d", "names no host"),
        (f"postgresql://u:{SECRET}@a,b/d", "several hosts"),
        (f"postgresql://u:{SECRET}@h/d?service=x", "parameter service is not supported"),
        (f"postgresql://u:{SECRET}@h/d?passfile=/x", "parameter passfile is not supported"),
        (f"postgresql://u@h/d?sslpassword={SECRET}", "parameter sslpassword is not supported"),
        (f"postgresql://u:{SECRET}@h/d?nonsense=1", "not one that PostgreSQL's libpq understands"),
        (f"postgresql://u:{SECRET}%zz@h/d", "not one that PostgreSQL's libpq understands"),
        (f"postgresql://u:{SECRET}%0Ax@h/d", "line break"),
        (f"postgresql://u:{SECRET}?{SECRET}={SECRET}@h/{SECRET}?{SECRET}", "not one that"),
        ("", "does not begin with postgresql://"),
    ],
)
def test_what_can_not_be_used_is_refused_without_repeating_the_password(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        PostgresqlEngine().validate(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_does_not_show_its_password() -> None:
    assert SECRET not in repr(parse_url(f"postgresql://u:{SECRET}@h/d"))
