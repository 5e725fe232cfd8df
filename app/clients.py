"""Who counts as one client, wherever one may take only a share."""

from __future__ import annotations

import ipaddress


def client_of(address: str | None) -> str:
    """Who counts as one client: an address, of IPv6 the network of 2^64 that one customer gets."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    # A listener for both families sees every IPv4 client as ::ffff:…, all within one network.
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))
