"""`python -m tests.e2e.cluster up|down|status|load`, from the root of the repository."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.e2e.cluster.binaries import build_all
from tests.e2e.cluster.cluster import Cluster


def main() -> int:
    """Do what the command line says; errors say what to do about them."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs that are absent")
    commands.add_parser("up", help="start what does not run, and print the KUBECONFIG")
    down = commands.add_parser("down", help="end it; images stay for the next time")
    down.add_argument("--purge", action="store_true", help="forget the images too")
    commands.add_parser("status", help="say what runs; exit status 1 if something does not")
    load = commands.add_parser("load", help="import images from OCI or Docker archives")
    load.add_argument("archives", nargs="+", type=Path)
    arguments = parser.parse_args()
    cluster = Cluster()
    try:
        return _run(cluster, arguments)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


def _run(cluster: Cluster, arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    match arguments.command:
        case "build":
            print(build_all())
        case "up":
            build_all()
            print(cluster.up())
        case "down":
            cluster.down(purge=arguments.purge)
        case "load":
            for archive in arguments.archives:
                cluster.runtime.import_image(archive)
        case "status":
            status = cluster.status()
            for name, running in status.items():
                print(f"{name}: {'runs' if running else 'does not run'}")
            return 0 if all(status.values()) else 1
    print(f"{arguments.command}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
