"""Checks between the network and the page: who may ask, and for what.

The page listens on a port that every website in the user's browser can reach. A site may post to it (the browser names
the site in ``Origin``), or point its own name at this machine and read the answers (DNS rebinding; the browser names
the site in ``Host``). gradio itself answers both, and has many more routes than the page uses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ['Guard', 'answers_to']

_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[^][:/?#@\s]+)(:\d+)?', re.IGNORECASE)
_LOOPBACK = ('localhost', '127.0.0.1', '::1')

_API = '/gradio_api'
_FILE = f'{_API}/file='
_JOIN = f'{_API}/queue/join'
_ROUTES = (
    *('/', '/config', '/theme.css', '/favicon.ico', '/manifest.json'),
    *(f'{_API}/{name}' for name in ('theme.css', 'app_id', 'startup-events', 'upload', 'upload_progress', 'cancel')),
    *(_JOIN, f'{_API}/queue/data'),
)
_FOLDERS = ('/assets/', '/static/', '/svelte/', f'{_API}/heartbeat/')
"""All that the page in the browser asks for. Left out are routes that fetch URLs, run ffmpeg or store links."""


class Guard:
    """ASGI middleware that lets only the page's own requests through.

    Args:
        app: What answers the requests that are let through.
        host: The address that the page is served at, as for :func:`answers_to`.
        owns: Whether a path is that of a file that the page may hand out.
    """

    def __init__(self, app: ASGIApp, host: str, owns: Callable[[str], bool]) -> None:
        self._app, self._host, self._owns = app, host, owns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with 403 or 404 where it is not the page's own."""
        answer = self._app if scope['type'] == 'lifespan' else self._refusal(scope) or self._app
        try:
            await answer(scope, receive, send)
        except KeyError:
            if scope['path'] != _JOIN:
                raise
            # gradio looks the function up by the number in the request, and would answer a bare 500.
            await PlainTextResponse('The page has no such function.\n', 404)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        hosts, origins = ([v.decode('latin-1') for k, v in scope['headers'] if k == n] for n in (b'host', b'origin'))
        if len(hosts) != 1 or not answers_to(hosts[0], self._host):
            return PlainTextResponse('The page is not served under this name.\n', 403)
        if any(origin.lower() not in _own_origins(hosts[0]) for origin in origins):
            return PlainTextResponse('The page takes no requests from other sites.\n', 403)
        path = scope['path']
        known = path in _ROUTES or path.startswith(_FOLDERS)
        if not (self._owns(path.removeprefix(_FILE)) if path.startswith(_FILE) else known):
            return PlainTextResponse('Not found.\n', 404)
        return None


def answers_to(header: str, host: str) -> bool:
    """Whether a ``Host`` header names the address that is served.

    The port is left open: tunnels and containers change it, and a foreign site cannot use it.

    Args:
        header: The header's value.
        host: The address listened at. A loopback address has three names. ``'0.0.0.0'`` and ``'::'``, which are every
            address of the machine, answer to all numeric addresses (no site can take one for its name), to
            ``localhost`` and to the machine's host name.

    Examples:
        >>> answers_to('localhost:7860', '127.0.0.1'), answers_to('evil.example:7860', '127.0.0.1')
        (True, False)
    """
    if (match := _HOST.fullmatch(header)) is None:
        return False
    name, served = _canonical(match[1]), _canonical(host)
    address = _address(served)
    if address is not None and address.is_unspecified:
        return _address(name) is not None or name in ('localhost', socket.gethostname().lower())
    if served in _LOOPBACK or (address is not None and address.is_loopback):
        return name in (*_LOOPBACK, served)
    return name == served


def _own_origins(host: str) -> tuple[str, str]:
    return f'http://{host.lower()}', f'https://{host.lower()}'


def _canonical(name: str) -> str:
    name = name.removeprefix('[').removesuffix(']').lower()
    return str(_address(name) or name)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
