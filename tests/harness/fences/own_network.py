"""A network with nothing in it but a loopback of its own, where Linux lets a test have one.

In it a page's ports are free whatever listens on this machine, pages can be followed side by side, and
nothing can leave the machine.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 1  # linux/if.h


class OwnNetwork:
    """A network that a thread can go into and leave.

    Raises:
        OSError: this machine does not allow it; ``is_allowed`` asks beforehand.
    """

    def __init__(self) -> None:
        outside = _network_of_this_thread()
        try:
            _call("unshare", _CLONE_NEWNET)
            self._network = _network_of_this_thread()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        finally:
            _call("setns", outside, _CLONE_NEWNET)
            os.close(outside)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and the threads and processes that it starts meanwhile, in this network."""
        outside = _network_of_this_thread()
        try:
            _call("setns", self._network, _CLONE_NEWNET)
            yield
        finally:
            _call("setns", outside, _CLONE_NEWNET)
            os.close(outside)

    def close(self) -> None:
        """Let go of it. It ends with the last process in it."""
        os.close(self._network)


@contextmanager
def apart() -> Iterator[None]:
    """Have this thread in a network of its own, where that is allowed."""
    if not is_allowed():
        yield
        return
    network = OwnNetwork()
    try:
        with network.entered():
            yield
    finally:
        network.close()


@cache
def is_allowed() -> bool:
    """Return whether ``OwnNetwork`` works here: on Linux, for root."""
    if sys.platform != "linux" or not Path("/proc/thread-self/ns/net").exists():
        return False
    failures = []

    def attempt() -> None:
        try:
            OwnNetwork().close()
        except OSError as failure:
            failures.append(failure)

    thread = Thread(target=attempt)
    thread.start()
    thread.join()
    return not failures


def _network_of_this_thread() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
