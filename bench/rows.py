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
#: With its space, the shortest.
_WORD_LENGTH = 3
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
        self._words = [self._word() for _ in range(_VOCABULARY)]
        # As in any language, few words are most of the text.
        self._weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(_VOCABULARY)))
        self._streets = self._pool(3_000, 8, 24)
        self._pages = ["/" + text.replace(" ", "/") for text in self._pool(2_000, 8, 40)]
        self._tags = self._pool(300, 4, 12)
        self._phrases = self._pool(3_000, 20, 120)

    def tables(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Each table's name and rows; a table's rows are to be taken before the next table is asked for."""
        yield "customers", self._customers()
        yield "products", self._products()
        yield "orders", self._orders()
        yield "order_items", self._order_items()
        yield "events", self._events()
        yield "messages", self._messages()

    def _word(self) -> str:
        syllables = (self._random.choice(_CONSONANTS) + self._random.choice(_VOWELS) for _ in itertools.count())
        return "".join(itertools.islice(syllables, self._random.randint(1, 4)))

    def _text(self, shortest: int, longest: int) -> str:
        """Some words, between that many characters long; no text is a part of another."""
        length = self._random.randint(shortest, longest)
        words = self._random.choices(self._words, cum_weights=self._weights, k=length // _WORD_LENGTH + 2)
        return " ".join(words)[:length].strip()

    def _pool(self, many: int, shortest: int, longest: int) -> list[str]:
        """What comes again and again in a database: streets, pages, sentences of answers and notices."""
        return [self._text(shortest, longest) for _ in range(many)]

    def _address(self) -> str:
        return (
            f"{self._random.choice(self._streets).title()} {self._random.randrange(200)}, {self._text(6, 14).title()}"
        )

    def _message(self) -> str:
        """Half of it is free, half are phrases that others use as well."""
        free = self._text(30, 300)
        return ". ".join([*self._random.choices(self._phrases, k=self._random.randrange(5)), free])

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
                self._address(),
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
            yield each, customer, state, self._price(), self._address(), self._moment(each, self._many.orders)

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
                "page": self._random.choice(self._pages),
                "agent": _AGENTS[self._random.randrange(len(_AGENTS))],
                "milliseconds": self._random.randrange(4000),
                "tags": self._random.choices(self._tags, k=self._random.randrange(5)),
            }
            identifier = uuid.UUID(int=self._random.getrandbits(128), version=4)
            customer = self._random.randint(1, self._many.customers)
            kind = _KINDS[min(4, int(self._random.expovariate(0.8)))]
            yield identifier, customer, kind, self._moment(each, self._many.events), json.dumps(payload)

    def _messages(self) -> Iterator[Row]:
        for each in range(1, self._many.messages + 1):
            customer = self._random.randint(1, self._many.customers)
            order = self._random.randint(1, self._many.orders) if each % 3 else None
            yield each, customer, order, self._moment(each, self._many.messages), self._message()

    def _price(self) -> float:
        return round(self._random.lognormvariate(3.5, 1.0), 2)
