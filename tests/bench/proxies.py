"""Reverse proxies before one backend, in one run: tidegate, nginx, HAProxy and Caddy, with equal fields towards the backend.

The backend is an nginx that answers from memory, on the processor of the load; every proxy keeps its connections to it.
"""
import os
import shutil
from pathlib import Path

BACKEND = """daemon off; user root; worker_processes 1; pid {dir}/backend.pid; error_log {dir}/backend.log error;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {dir}/b1; proxy_temp_path {dir}/b2; fastcgi_temp_path {dir}/b3; uwsgi_temp_path {dir}/b4; scgi_temp_path {dir}/b5;
  server {{ listen 127.0.0.1:{backend} backlog=4096; default_type application/json;
    location / {{ return 200 '{{"message":"Hello, World!"}}'; }} }} }}
"""
NGINX = """daemon off; user root; worker_processes 1; pid {dir}/proxy.pid; error_log {dir}/proxy.log error;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;
  client_body_temp_path {dir}/p1; proxy_temp_path {dir}/p2; fastcgi_temp_path {dir}/p3; uwsgi_temp_path {dir}/p4; scgi_temp_path {dir}/p5;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Forwarded "for=$remote_addr;host=\\"$http_host\\";proto=$scheme";
      proxy_set_header Via "1.1 gate"; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  option forwardfor
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  http-request set-header Forwarded for=%[src];host=\\"%[req.hdr(host)]\\";proto=http
  http-request set-header Via "1.1 gate"
  server s 127.0.0.1:{backend} pool-max-conn 64
"""
CADDY = """{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  reverse_proxy 127.0.0.1:{backend} {{
    header_up Forwarded "for=127.0.0.1;host={{host}};proto=http"
    header_up Via "1.1 gate"
  }}
}}
"""
CONFIG = """return {{ log = {{ access = "off" }}, upstreams = {{ backend = {{ peers = {{ "127.0.0.1:{backend}" }} }} }} }}
"""
ROUTES = """return { ["GET /json"] = { proxy = "backend" } }
"""


def _write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def servers(work, binary, process, free_port, last_cpu):
    """The backend, and the proxies that are installed; `process` makes one that is measured."""
    folder = Path(work) / "proxies"
    folder.mkdir()
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(nginx):
        return None, []
    backend = free_port()
    conf = _write(folder, "backend.conf", BACKEND.format(dir=folder, backend=backend))
    behind = process("backend", ["taskset", "-c", last_cpu, nginx, "-p", folder, "-c", conf], backend, pinned=False)
    port = free_port()
    conf = _write(folder, "nginx.conf", NGINX.format(dir=folder, backend=backend, port=port))
    found = [process("nginx", [nginx, "-p", folder, "-c", conf], port)]
    port, haproxy = free_port(), shutil.which("haproxy") or "/usr/sbin/haproxy"
    if os.path.exists(haproxy):
        found.append(process("HAProxy", [haproxy, "-db", "-q", "-f", _write(folder, "haproxy.cfg", HAPROXY.format(backend=backend, port=port))], port))
    port, caddy = free_port(), shutil.which("caddy") or "/usr/bin/caddy"
    if os.path.exists(caddy):
        conf = _write(folder, "Caddyfile", CADDY.format(backend=backend, port=port))
        found.append(process("Caddy", [caddy, "run", "--adapter", "caddyfile", "--config", conf], port,
                             env={**os.environ, "HOME": str(folder), "GOMAXPROCS": "1"}))
    _write(folder, "app/tidegate.lua", CONFIG.format(backend=backend))
    _write(folder, "app/routes/index.lua", ROUTES)
    port = free_port()
    found.append(process("tidegate", [binary, "run", "--dir", folder / "app", "--listen", f"127.0.0.1:{port}", "--loops", 1,
                                      "--pid-file", folder / "tidegate.pid"], port))
    return behind, found
