"""``hhh worker``: runs jobs, beside others, from a shared PostgreSQL jobs database."""
