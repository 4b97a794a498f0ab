"""What a command asks of the network, itself and all that it starts, native code included: told by strace."""

import re
import subprocess
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

CALLS = "connect,sendto,sendmsg,sendmmsg"
PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
ADDRESS = re.compile(r'inet_(?:addr\("|pton\(AF_INET6, ")([^"]+)"')
LOOK_UPS = 53


def watched(command: Sequence[str], folder: Path, environment: dict[str, str], trace: Path) -> str:
    """Run a command to its end, and that of everything it started; what it printed."""
    tool = ["strace", "-f", "--seccomp-bpf", "-s", "200", "-e", f"trace={CALLS}", "-o", str(trace)]
    done = subprocess.run([*tool, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outside(trace: str) -> list[str]:
    """Lines of a trace that look a name up, or turn to an address that is not this machine's own."""
    return [line for line in trace.splitlines() if "AF_INET" in line and _leaves(line)]


def _leaves(line: str) -> bool:
    ports, addresses = PORT.findall(line), [ip_address(found) for found in ADDRESS.findall(line)]
    mapped = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return str(LOOK_UPS) in ports or any(not (address.is_loopback or address.is_unspecified) for address in mapped)
