"""Rows counted in SQL as pg_dump writes it."""

import pytest

from hhh.core.errors import SourceUnreadable
from hhh.engines.postgresql.rows import RowCounter

_COPIED = rb"""-- Dumped from database version 16.4
SELECT pg_catalog.set_config('search_path', '', false);
--
-- Data for Name: apo'strophe "x" --; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public."apo'strophe ""x""
 FROM stdin;
 --" (id, "a ' b") FROM stdin;
1	it's VALUES ( "here"
2	-- Data for Name: not one
\\.	FROM stdin;
\.


--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.empty (id) FROM stdin;
\.


--
-- Data for Name: no columns; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public."no columns"  FROM stdin;


\.


"""

_INSERTED = rb"""-- Data for Name: one by one; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."one by one" (a, "VALUES (") VALUES (-1, 'it''s
	(VALUES (1); -- no comment');
INSERT INTO public."one by one" OVERRIDING SYSTEM VALUE VALUES (2, '\');
INSERT INTO public."one by one" DEFAULT VALUES;


--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: many; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.many VALUES
	(1, '
	(1),'),
	(2, NULL);
INSERT INTO public.many VALUES
	(3, '-- Data for Name: none');


"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 14, 64, 1000, 100_000])
@pytest.mark.parametrize(
    ("written", "rows"), [(_COPIED, [3, 0, 2]), (_INSERTED, [3, 0, 3])], ids=["copied", "inserted"]
)
def test_rows_are_counted_wherever_the_text_is_cut(written: bytes, rows: list[int], size: int) -> None:
    counter = RowCounter()
    for start in range(0, len(written), size):
        counter.feed(written[start : start + size])
    assert counter.rows == rows


def test_a_name_without_end_is_not_waited_for() -> None:
    counter = RowCounter()
    counter.feed(b"-- Data for Name: ")
    with pytest.raises(SourceUnreadable, match="no name is as long"):
        counter.feed(b"x" * (2 << 20))
