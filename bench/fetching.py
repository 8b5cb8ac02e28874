"""A large file over loopback by our fetch and by curl, in turn: `python -m bench.fetching`.

nginx serves it with TLS, ranges and an ETag. Both write to the same disk; ours hashes what comes besides. Each fetch
runs in a process of its own with an empty cache, which reports its time and its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import Report, Section, percentile
from tests.e2e.cluster.binaries import system_program
from tests.support.file_server import certificates
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000
START_TIMEOUT_S = 10.0
CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  sendfile on;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert_file};
    ssl_certificate_key {key_file};
    root {folder}/served;
  }}
}}
"""
OURS = """
import json, resource, sys, time
from pathlib import Path
from voiceplane_common.artifacts import fetch
import voiceplane_common.artifacts.sources.web
def memory(kind):  # of the kernel's view of this program; getrusage counts what its parent was
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(kind)).split()[1])
before = memory("VmRSS")
start = time.perf_counter()
path = fetch(sys.argv[1], cache_dir=Path(sys.argv[2]))
seconds = time.perf_counter() - start
cpu = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": seconds, "cpu_s": cpu.ru_utime + cpu.ru_stime, "before_bytes": before,
                  "peak_bytes": memory("VmHWM"), "size_bytes": path.stat().st_size}))
"""


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, str]]:
    """Runs nginx with what lies in `served` of a folder; its URL, and the file of the CA to trust."""
    issued = certificates(folder / "certificates")
    port = free_port()
    file = folder / "nginx.conf"
    names = {"cert_file": issued["cert_file"], "key_file": issued["key_file"]}
    user = "" if os.getuid() else "user root;"  # it would become another user, who may not read the folder
    file.write_text(CONFIGURATION.format(folder=folder, port=port, user=user, **names), encoding="utf-8")
    process = subprocess.Popen([system_program("nginx"), "-c", file, "-p", folder])
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (folder / "nginx.pid").exists() or not (folder / "nginx.pid").read_text():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"nginx does not start: see {folder}/error.log")
            time.sleep(0.02)
        yield f"https://localhost:{port}", issued["ca_file"]
    finally:
        process.terminate()
        process.wait(10)


def ours(url: str, ca_file: str, folder: Path) -> dict[str, Any]:
    """One fetch into an empty cache."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        done = subprocess.run(
            [sys.executable, "-c", OURS, url, cache],
            env={**os.environ, "SSL_CERT_FILE": ca_file},
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def curl(url: str, ca_file: str, folder: Path) -> dict[str, Any]:
    """The same file by curl, which neither hashes nor resumes here."""
    target = folder / "curl.out"
    start = time.perf_counter()
    subprocess.run([system_program("curl"), "--silent", "--fail", "--cacert", ca_file, "-o", target, url], check=True)
    seconds = time.perf_counter() - start
    size = target.stat().st_size
    target.unlink()
    return {"seconds": seconds, "size_bytes": size}


def measure(size_mb: int, *, rounds: int, folder: Path) -> dict[str, Any]:
    """Both in turn, so that a busy machine is as busy for one as for the other."""
    served = folder / "served"
    served.mkdir()
    block = os.urandom(MB)
    with (served / "model").open("wb") as file:
        for _ in range(size_mb):
            file.write(block)
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "curl": []}
    with server(folder) as (url, ca_file):
        curl(f"{url}/model", ca_file, folder)  # the file is in the page cache then
        for number in range(rounds):
            for name in ("ours", "curl") if number % 2 else ("curl", "ours"):
                runs[name].append((ours if name == "ours" else curl)(f"{url}/model", ca_file, folder))
    if any(run["size_bytes"] != size_mb * MB for each in runs.values() for run in each):
        raise RuntimeError("not all of the file came")
    return _figures(runs, size_mb)


def _figures(runs: dict[str, list[dict[str, Any]]], size_mb: int) -> dict[str, Any]:
    rates = {name: [size_mb / run["seconds"] for run in each] for name, each in runs.items()}
    return {
        "size_mb": size_mb,
        "rounds": len(rates["ours"]),
        "ours_mb_per_s": rates["ours"],
        "curl_mb_per_s": rates["curl"],
        "ratio": percentile([a / b for a, b in zip(rates["ours"], rates["curl"], strict=True)], 50),
        "cpu_s": percentile([run["cpu_s"] for run in runs["ours"]], 50),
        "peak_mb": max(run["peak_bytes"] for run in runs["ours"]) / MB,
        "added_mb": max(run["peak_bytes"] - run["before_bytes"] for run in runs["ours"]) / MB,
    }


def _section(figures: dict[str, Any]) -> Section:
    section = Section(
        name=f"{figures['size_mb']} MB from nginx on loopback, with TLS; {figures['rounds']} rounds",
        columns=("", "p50", "least", "most"),
        note="rates are in MB/s; the ratio is the median of each round's",
    )
    for name, key in (("ours, hashed", "ours_mb_per_s"), ("curl", "curl_mb_per_s")):
        section.rows.append((name, percentile(figures[key], 50), min(figures[key]), max(figures[key])))
    section.rows.append(("ours to curl", figures["ratio"], "", ""))
    section.rows.append(("our processor time, s", figures["cpu_s"], "", ""))
    section.rows.append(("memory that the fetch adds, MB", "", "", figures["added_mb"]))
    section.rows.append(("memory of the whole process, MB", "", "", figures["peak_mb"]))
    return section


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where files and caches are written; default: the temporary folder")
    parser.add_argument("--json", type=Path, default=Path("bench-results/fetching.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = measure(arguments.size_mb, rounds=arguments.rounds, folder=Path(folder))
    report = Report()
    report.show(_section(figures))
    report.write(arguments.json, figures=figures)


if __name__ == "__main__":
    main()
