"""The tables of the service's own database."""
