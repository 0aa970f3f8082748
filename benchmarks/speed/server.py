"""nginx with the prepared pages, on 127.0.0.1 and its own core."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.speed.lists import List
from benchmarks.speed.pages import next_url

_CONFIG: Final = """
{user}
daemon off;
worker_rlimit_nofile 16384;
worker_processes 1;
worker_cpu_affinity {core_mask};
pid {root}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=10000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {root}/tmp;
    proxy_temp_path {root}/tmp;
    fastcgi_temp_path {root}/tmp;
    uwsgi_temp_path {root}/tmp;
    scgi_temp_path {root}/tmp;

    map_hash_max_size 65536;
    map_hash_bucket_size 128;

    # Each SDK has its own query parameter for the page.
    map $arg_page$arg_cursor$arg_after$arg_token $page {{ "" 0; default $arg_page$arg_cursor$arg_after$arg_token; }}
    map "$list/$page" $link {{
        default "";
{links}
    }}
    server {{
        listen 127.0.0.1:{port};
        root {root};
        # A budget that is never used up, so that clients process the headers.
        add_header X-RateLimit-Limit-Tenant 1000000;
        add_header X-RateLimit-Remaining-Tenant 999999;
        add_header X-RateLimit-Limit-Route 1000000;
        add_header X-RateLimit-Remaining-Route 999999;
        add_header Link $link;
        location ~ ^/(?<list>[a-z0-9-]+)/v[12]/queues/inbound$ {{ try_files /$list/$page.json =404; }}
        location ~ ^/(?<list>[a-z0-9-]+)/v1/queues/inbound/(?<id>[0-9]+)$ {{ try_files /$list/$id.json =404; }}
    }}
}}
"""


class NginxMissingError(Exception):
    """nginx is not installed."""


def _links(lists: Sequence[List]) -> str:
    """The `Link` headers of the pages that have a next page."""
    return "\n".join(
        f"""        "{which.name}/{page}" '<$scheme://$http_host/{which.name}{url}>; rel="next"';"""
        for which in lists
        if which.form == "sdk"
        for page in range(which.pages)
        if (url := next_url(which, page)) is not None
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start; see its error above")


def find_nginx() -> str:
    """The path of nginx.

    Raises:
        NginxMissingError: nginx is not installed.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        raise NginxMissingError("nginx is not installed; it serves the pages; run: apt-get install nginx-light")
    return nginx


@contextmanager
def serving(nginx: str, root: Path, lists: Sequence[List], core: int) -> Generator[str]:
    """Serve the lists below `root` on this core; yields the URL."""
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # otherwise its workers cannot read the pages
    config = root / "nginx.conf"
    core_mask = f"{1 << core:b}"
    config.write_text(_CONFIG.format(user=user, core_mask=core_mask, root=root, port=port, links=_links(lists)))
    (root / "tmp").mkdir()
    with subprocess.Popen([nginx, "-p", str(root), "-c", str(config), "-e", "stderr"]) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
