"""Rigs that the tests stand on: real servers, real file systems, a real service. No mocks."""
