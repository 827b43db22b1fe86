"""Nginx: a plain round robin in front of gateways, without stickiness, as a user would set it up.

Owns the process and its configuration.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from andon.supervised import spawn
from tests.stack.system_package import NGINX, program
from tests.stack.waiting import wait_until

_CONFIG = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  upstream andon {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://andon;
      {location}
    }}
  }}
}}
"""
_WEBSOCKETS = """
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1h;
"""


def binary() -> str:
    """Return the path of nginx; skips the test where there is none."""
    return program(NGINX)


@asynccontextmanager
async def round_robin(gateway_ports: list[int], home: Path) -> AsyncIterator[str]:
    """Run nginx in front of these gateways for the length of a block; give the WebSocket endpoint."""
    async with proxy(gateway_ports, home, _WEBSOCKETS) as authority:
        yield f"ws://{authority}/v1/responses"


@asynccontextmanager
async def proxy(gateway_ports: list[int], home: Path, location: str = "") -> AsyncIterator[str]:
    """Run nginx with these directives besides `proxy_pass`, all else as nginx has it; give `host:port`."""
    nginx = binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = " ".join(f"server 127.0.0.1:{gateway};" for gateway in gateway_ports)
    config = home / "nginx.conf"
    config.write_text(_CONFIG.format(home=home, servers=servers, port=port, location=location))
    with (home / "output.log").open("ab") as output:
        process = spawn([nginx, "-p", str(home), "-e", str(home / "error.log"), "-c", str(config)], output=output)
    try:
        await wait_until(lambda: process.poll() is not None or _listens(port), what="nginx listens")
        assert process.poll() is None, (home / "error.log").read_text() + (home / "output.log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
