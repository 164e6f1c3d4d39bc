"""Turns of sign-ins."""

from fastapi.routing import APIRoute

from hhh.api.rest.v1 import auth
from hhh.console.routes import sign_in
from hhh.web.turns import SIGN_IN_TURN


def test_sign_ins_of_api_and_console_wait_for_the_same_turns() -> None:
    routes = [each for each in (*auth.router.routes, *sign_in.router.routes) if isinstance(each, APIRoute)]
    waiting = {route.path for route in routes if any(each is SIGN_IN_TURN for each in route.dependencies)}
    assert waiting == {"/api/v1/auth/login", "/sign-in"}
