"""A network namespace at the far end of a bad line: packets are delayed, jittered, lost, or not let through at all.

The kernels of test machines may lack netem, so the line is two TUN devices
(https://docs.kernel.org/networking/tuntap.html) and a thread that carries packets between them. Nothing but the two
ends can be reached over it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

NEAR_ADDRESS, FAR_ADDRESS = "10.213.77.1", "10.213.77.2"
MTU = 1500
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
TICK_S = 0.001


class RoughPath:
    """The line. Its figures may be changed while it carries.

    Attributes:
        namespace: The name of the far end; `ip netns exec` runs a program there.
        device: The name of this end.
        delay_ms: One way.
        jitter_ms: At most so much more or less, drawn evenly; packets of a direction keep their order.
        loss: The share of packets that are lost, 0 to 1.
        cut: Whether nothing gets through.
        carried: Packets so far.
        lost: Packets so far.
    """

    def __init__(self, namespace: str, device: str, near: int, far: int, *, seed: int = 1) -> None:
        self.namespace = namespace
        self.device = device
        self.delay_ms = 0.0
        self.jitter_ms = 0.0
        self.loss = 0.0
        self.cut = False
        self.carried = 0
        self.lost = 0
        self._ends = (near, far)
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="rough-path")

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close both ends."""
        self._stopping.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _carry(self) -> None:
        near, far = self._ends
        to = {near: far, far: near}
        under_way: list[tuple[float, int, int, bytes]] = []
        latest = {near: 0.0, far: 0.0}
        numbers = itertools.count()
        while not self._stopping.is_set():
            wait_s = max(0.0, min(under_way[0][0] - time.monotonic(), 0.05)) if under_way else 0.05
            for end in select.select([near, far], [], [], max(wait_s, TICK_S))[0]:
                packet = os.read(end, MTU + 4)
                if self.cut or self._random.random() < self.loss:
                    self.lost += 1
                    continue
                jitter_ms = self._random.uniform(-self.jitter_ms, self.jitter_ms)
                due = max(latest[end], time.monotonic() + max(0.0, self.delay_ms + jitter_ms) / 1000)
                latest[end] = due
                heapq.heappush(under_way, (due, next(numbers), to[end], packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(under_way)
                self.carried += 1
                with contextlib.suppress(OSError):  # the far end's device has gone
                    os.write(end, packet)


@contextlib.contextmanager
def rough_path() -> Iterator[RoughPath]:
    """A line to a namespace of its own; this end is NEAR_ADDRESS, the other FAR_ADDRESS.

    Raises:
        subprocess.CalledProcessError: The machine does not allow namespaces or TUN devices.
    """
    namespace = f"vp-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        device = f"vpnear{os.getpid()}"
        near = _open_tun(device, NEAR_ADDRESS, FAR_ADDRESS)
        far = inside(namespace, lambda: _open_far_end("vpfar", FAR_ADDRESS, NEAR_ADDRESS))
        path = RoughPath(namespace, device, near, far)
        path.start()
        try:
            yield path
        finally:
            path.stop()
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do something in a namespace, on a thread that enters it: what it opens and starts belongs there, and stays good.

    Returns:
        What the work returns; what it raises is raised.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{namespace}") as handle:  # noqa: PTH123  # its descriptor is what matters
                if libc.setns(handle.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
            done.append(work())
        except BaseException as error:  # it belongs to the caller, not to this thread
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _open_far_end(name: str, address: str, peer: str) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return _open_tun(name, address, peer)


def _open_tun(name: str, address: str, peer: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "address", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return device
