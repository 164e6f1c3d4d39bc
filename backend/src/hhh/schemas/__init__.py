"""Pydantic models of requests, responses and facts."""
