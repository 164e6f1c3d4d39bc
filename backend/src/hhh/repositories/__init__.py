"""All SQL of the service's own database."""
