"""Finds a running Ray cluster. `ray.init` itself waits for minutes, silently, and notices no signal for most of that time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from ray._private.services import canonicalize_bootstrap_address, parse_address

from ..spec import StudyError, UsageError

PATIENCE = 60.0
"""Seconds until a cluster must accept connections: it may be starting, for which Ray itself plans 20 seconds."""
TRY, PAUSE = 5.0, 0.5
"""Seconds for one try, and between two."""
WAYS = "leave --address out to use the cores of this machine"


def resolved(address: str) -> tuple[str, int]:
    """The host and the port of the cluster that `address` names, which may be `auto`.

    Raises UsageError for an address that is not HOST:PORT, StudyError if this machine is no node of a cluster.
    """
    try:
        found = canonicalize_bootstrap_address(address)
        host, port = parse_address(found or "") or ("", "")
        return host, int(port)
    except ConnectionError:
        start = "start one with: ray start --head"
        raise StudyError(
            f"--address {address}: no Ray cluster runs on this machine; {start}, give --address HOST:PORT, or {WAYS}"
        ) from None
    except ValueError:
        raise UsageError(
            f"--address {address}: this is not the address of a Ray cluster; use HOST:PORT (by default, the port is 6379), "
            f"use auto on a node of a cluster, or {WAYS}"
        ) from None


def await_answer(address: str, place: tuple[str, int], say: Callable[[str], None]) -> None:
    """Returns when the cluster at `place` accepts connections. Raises StudyError if it does not within `PATIENCE`."""
    where = address if address != "auto" else f"{place[0]}:{place[1]}"
    say(f"connecting to the Ray cluster at {where} (for at most {PATIENCE:g} s)")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(place, timeout=TRY).close()
        except OSError as error:
            if time.monotonic() >= end:
                raise StudyError(
                    f"--address {address}: no Ray cluster answers at {where} ({error.strerror or error}); check the address, "
                    f"and that the cluster runs, or {WAYS}"
                ) from None
            time.sleep(PAUSE)
        else:
            return
