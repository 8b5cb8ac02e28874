"""`python -m tests.e2e.cluster up|down|status|load|build|kubeconfig`, from the root of the repository."""

from __future__ import annotations

import argparse
import sys
import time

from tests.e2e.cluster.binaries import build_all
from tests.e2e.cluster.choice import chosen, running


def main() -> int:
    """Do what the command line says; errors say what to do about them."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start what does not run, and print the KUBECONFIG")
    up.add_argument(
        "--on", choices=["auto", "kind", "node"], default="auto", help="auto: kind where it can pull images"
    )
    down = commands.add_parser("down", help="end it; a node keeps its images for the next time")
    down.add_argument("--purge", action="store_true", help="forget the images too")
    commands.add_parser("status", help="say what runs; exit status 1 if something does not")
    load = commands.add_parser("load", help="give images to the cluster: archives, or names that docker has")
    load.add_argument("images", nargs="+")
    commands.add_parser("build", help="build the programs of a node that are absent")
    commands.add_parser("kubeconfig", help="print the KUBECONFIG")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        status = _run(arguments)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.command in {"up", "down", "load", "build"}:
        print(f"{arguments.command}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return status


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "build":
        print(build_all())
        return 0
    if arguments.command == "up":
        print(chosen(arguments.on).up())
        return 0
    cluster = running()
    match arguments.command:
        case "down":
            cluster.down(purge=arguments.purge)
        case "load":
            cluster.load(arguments.images)
        case "kubeconfig":
            print(cluster.kubeconfig)
        case "status":
            status = cluster.status()
            for name, runs in status.items():
                print(f"{name}: {'runs' if runs else 'does not run'}")
            return 0 if all(status.values()) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
