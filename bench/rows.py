"""The rows of a shop, the same ones each time: what both databases are filled with.

Neither trivially compressible nor noise: zstd -1 leaves about a third of them, as of many real databases.
"""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Row = tuple[Any, ...]

_SEED = 20_250_101
_VOCABULARY = 2_000
_CORPUS_WORDS = 1_500_000
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_CONSONANTS, _VOWELS = "bdfghklmnprstvz", "aeiouü"
_STATES = ("open", "paid", "sent", "returned")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
)
_KINDS = ("viewed", "searched", "bought", "returned", "asked")

#: Rows for one megabyte of database with its indexes, about; the tables refer to those before them.
PER_MEGABYTE = {"customers": 150, "products": 30, "orders": 750, "order_items": 2_000, "events": 750, "messages": 650}

COLUMNS = {
    "customers": ("id", "email", "name", "address", "born", "joined", "profile"),
    "products": ("id", "sku", "title", "description", "price", "stock"),
    "orders": ("id", "customer_id", "state", "total", "address", "placed"),
    "order_items": ("order_id", "line", "product_id", "quantity", "price"),
    "events": ("id", "customer_id", "kind", "at", "payload"),
    "messages": ("id", "customer_id", "order_id", "sent", "body"),
}


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many rows each table gets."""

    customers: int
    products: int
    orders: int
    order_items: int
    events: int
    messages: int


def amounts(megabytes: float) -> Amounts:
    """The rows of a database of about that size."""
    return Amounts(**{table: max(3, int(each * megabytes)) for table, each in PER_MEGABYTE.items()})


class Shop:
    """Makes the rows, table after table. Moments are aware datetimes, documents are JSON texts, ids of events UUIDs."""

    def __init__(self, many: Amounts) -> None:
        self._many = many
        self._random = random.Random(_SEED)
        self._corpus = self._make_corpus()

    def tables(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Each table's name and rows; a table's rows are to be taken before the next table is asked for."""
        yield "customers", self._customers()
        yield "products", self._products()
        yield "orders", self._orders()
        yield "order_items", self._order_items()
        yield "events", self._events()
        yield "messages", self._messages()

    def _make_corpus(self) -> str:
        words = [self._word() for _ in range(_VOCABULARY)]
        # As in any language, few words are most of the text.
        weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(_VOCABULARY)))
        return " ".join(self._random.choices(words, cum_weights=weights, k=_CORPUS_WORDS))

    def _word(self) -> str:
        syllables = (self._random.choice(_CONSONANTS) + self._random.choice(_VOWELS) for _ in itertools.count())
        return "".join(itertools.islice(syllables, self._random.randint(1, 4)))

    def _text(self, shortest: int, longest: int) -> str:
        start = self._random.randrange(len(self._corpus) - longest)
        return self._corpus[start : start + self._random.randint(shortest, longest)].strip()

    def _moment(self, number: int, of: int) -> datetime:
        # They go on through the year, each a little out of order.
        return _EPOCH + timedelta(days=365 * number / of, seconds=self._random.random() * 3600)

    def _customers(self) -> Iterator[Row]:
        for each in range(1, self._many.customers + 1):
            name = self._text(8, 24).title()
            profile = {
                "newsletter": each % 3 == 0,
                "language": ("de", "fr", "it", "en")[each % 4],
                "about": self._text(0, 80),
            }
            born = (_EPOCH - timedelta(days=7000 + self._random.randrange(20_000))).date()
            email = f"{name.partition(' ')[0].lower()}.{each}@example.com"
            yield (
                each,
                email,
                name,
                self._text(20, 60),
                born,
                self._moment(each, self._many.customers),
                json.dumps(profile),
            )

    def _products(self) -> Iterator[Row]:
        for each in range(1, self._many.products + 1):
            sku = f"{self._random.getrandbits(40):010X}"
            yield each, sku, self._text(10, 40), self._text(100, 600), self._price(), self._random.randrange(500)

    def _orders(self) -> Iterator[Row]:
        for each in range(1, self._many.orders + 1):
            customer = self._random.randint(1, self._many.customers)
            state = _STATES[min(3, int(self._random.expovariate(1.0)))]
            yield each, customer, state, self._price(), self._text(20, 60), self._moment(each, self._many.orders)

    def _order_items(self) -> Iterator[Row]:
        per_order = max(1, self._many.order_items // self._many.orders)
        lines = ((order, line) for order in range(1, self._many.orders + 1) for line in range(1, per_order + 2))
        for order, line in itertools.islice(lines, self._many.order_items):
            product = self._random.randint(1, self._many.products)
            yield order, line, product, self._random.randint(1, 5), self._price()

    def _events(self) -> Iterator[Row]:
        for each in range(1, self._many.events + 1):
            payload = {
                "session": f"{self._random.getrandbits(64):016x}",
                "page": "/" + self._text(5, 30).replace(" ", "/"),
                "agent": _AGENTS[self._random.randrange(len(_AGENTS))],
                "milliseconds": self._random.randrange(4000),
                "tags": self._text(5, 40).split(),
            }
            identifier = uuid.UUID(int=self._random.getrandbits(128), version=4)
            customer = self._random.randint(1, self._many.customers)
            kind = _KINDS[min(4, int(self._random.expovariate(0.8)))]
            yield identifier, customer, kind, self._moment(each, self._many.events), json.dumps(payload)

    def _messages(self) -> Iterator[Row]:
        for each in range(1, self._many.messages + 1):
            customer = self._random.randint(1, self._many.customers)
            order = self._random.randint(1, self._many.orders) if each % 3 else None
            yield each, customer, order, self._moment(each, self._many.messages), self._text(60, 700)

    def _price(self) -> float:
        return round(self._random.lognormvariate(3.5, 1.0), 2)
