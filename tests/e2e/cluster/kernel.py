"""What a node changes in the kernel, and how it is put back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tests.e2e.cluster.binaries import system_program
from tests.e2e.cluster.commands import attempt

CGROUPS = Path("/sys/fs/cgroup")
CONTAINER_LOGS = Path("/var/log/containers")

# Pods reach each other, and by a Service also on their own bridge.
WANTED = {
    Path("/proc/sys/net/ipv4/ip_forward"): "1",
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables"): "1",
}


def set_switches(record: Path) -> None:
    """Set what pods' traffic needs.

    Args:
        record: Keeps the values from before.

    Raises:
        RuntimeError: A switch can't be set; names it.
    """
    before = json.loads(record.read_text()) if record.exists() else {}
    for switch, value in WANTED.items():
        try:
            now = switch.read_text().strip()
            if now != value:
                before.setdefault(str(switch), now)
                switch.write_text(value)
        except OSError as error:
            raise RuntimeError(f"{switch} can't be set to {value} ({error}): be root, and load br_netfilter") from error
    record.write_text(json.dumps(before))


def restore_switches(record: Path) -> None:
    """Put back what set_switches changed."""
    if not record.exists():
        return
    for switch, value in json.loads(record.read_text()).items():
        Path(switch).write_text(value)
    record.unlink()


def unmount_below(folder: Path) -> None:
    """Unmount everything in a folder, the innermost first."""
    umount = system_program("umount")
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = line.split()[1].encode().decode("unicode_escape")
        if Path(target).is_relative_to(folder):
            attempt([umount, "--lazy", target])


def remove_pod_cgroups() -> None:
    """Remove the control groups of pods, which are empty by now."""
    for top in [CGROUPS / "kubepods", *CGROUPS.glob("*/kubepods")]:
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            top.rmdir()


def remove_log_links(logs: Path) -> None:
    """Remove the kubelet's links to logs in a folder; their place is fixed."""
    if CONTAINER_LOGS.is_dir():
        for link in CONTAINER_LOGS.iterdir():
            if link.is_symlink() and link.readlink().is_relative_to(logs):
                link.unlink()


def remove_proxy_rules() -> None:
    """Remove what kube-proxy told the kernel."""
    for family in ("ip", "ip6"):
        attempt([system_program("nft"), "delete", "table", family, "kube-proxy"])
