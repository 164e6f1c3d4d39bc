"""What a receiver said is shown without what is secret in its URL, however that is written there."""

import pytest

from hhh.services.alert_child.sending import cleaner

URL = "mailtos://hhh:x%40y%2Fz@smtp.example.com:587/Tok%C3%A9n?from=hhh@example.com&to=ops@example.com"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("smtp.example.com: bad password x@y/z", "smtp.example.com: bad password ***"),
        ("no such path: /x%40y%2Fz", "no such path: /***"),
        ("no such path: /x%40y%2fz", "no such path: /***"),
        ("nobody is tokén, TOKÉN or Tok%C3%A9n", "nobody is ***, *** or ***"),
        ("a line\n\x1b[2Jand another", "a line ␛[2Jand another"),
    ],
)
def test_no_part_of_a_url_is_shown(said: str, shown: str) -> None:
    assert cleaner(URL)(said) == shown
