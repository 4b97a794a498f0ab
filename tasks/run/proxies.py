"""Proxies of the environment are for addresses elsewhere: what runs on this machine is asked directly."""

from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def spare_loopback(environment: MutableMapping[str, str]) -> bool:
    """Have clients ask this machine's own servers without a proxy, where the environment names one.

    Args:
        environment: Variables, of which `no_proxy` and `NO_PROXY` may change.

    Returns:
        Whether loopback addresses were not spared before.
    """
    names = {name.lower() for name, value in environment.items() if value}
    if not names & {"http_proxy", "https_proxy", "all_proxy"}:
        return False
    # Of the two spellings clients prefer the small one.
    spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    entries = [entry.strip() for entry in spared.split(",") if entry.strip()]
    missing = [] if "*" in entries else [address for address in LOOPBACK if address not in entries]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join([*entries, *missing])
    return bool(missing)
