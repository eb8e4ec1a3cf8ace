"""Which endpoint serves a request: klein's routes, asked without what klein would leave behind for each request.

Klein's own resource, and werkzeug's search for a route, each make functions that refer to themselves, the former with
the whole request. Only a full look for garbage gets rid of those; with some 1,700 requests a second there was one of 30
ms twice in a second, in which no call could go on. So the search is made for paths with parts alone, and what it leaves
then is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

Found = tuple[str, Mapping[str, str]]
"""The name of a route, and the parts of the path."""


class Routes:
    """The routes of an app, each by a name. Once it has been asked, no more are to be added."""

    def __init__(self) -> None:
        self.app = Klein()
        # A path with an empty part is none of ours, and nobody is sent elsewhere.
        self.app.url_map.merge_slashes = False
        self._fixed: dict[tuple[bytes, bytes], Found] = {}

    def add(self, method: str, path: str, name: str, serve: Callable[..., None]) -> None:
        """`serve(request, **parts)` answers what this method asks of a path in werkzeug's notation; HEAD as GET."""
        self.app.route(path, methods=[method], endpoint=name)(serve)
        if "<" not in path:
            for each in (method, "HEAD") if method == "GET" else (method,):
                self._fixed[each.encode(), path.encode()] = (name, {})

    def find(self, method: bytes, path: bytes) -> Found:
        """The route for a request. Raises werkzeug's HTTPException when there is none."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed
        adapter = self.app.url_map.bind("dialer")
        named = unquote_to_bytes(path).decode("utf-8", "replace")
        name, parts = adapter.match(named, method=method.decode("latin-1"))
        return str(name), parts

    def resource(self, no_route: Callable[[IRequest, HTTPException], None]) -> Resource:
        """The resource for a Site; `no_route` answers what nothing is there for."""
        return _Routed(self, no_route)


class _Routed(Resource):
    isLeaf = True

    def __init__(self, routes: Routes, no_route: Callable[[IRequest, HTTPException], None]) -> None:
        super().__init__()
        self._routes = routes
        self._no_route = no_route

    def render(self, request: Any) -> Any:
        """Have it answered, now or later."""
        try:
            name, parts = self._routes.find(request.method, request.path)
        except HTTPException as error:
            self._no_route(request, error)
        else:
            self._routes.app.execute_endpoint(name, request, **parts)
        return NOT_DONE_YET
