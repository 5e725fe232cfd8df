"""Numbers and lists in plain English."""

from __future__ import annotations


def how_many(count: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``1,200 files``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1] in per cent, with so many decimals; never 0 or 100 unless it is exactly that."""
    rounded, least = round(100 * share, digits), 10.0**-digits
    if rounded == 0 and share > 0:
        return f"under {least:.{digits}f} %"
    if rounded == 100 and share < 1:
        return f"over {100 - least:.{digits}f} %"
    return f"{rounded:.{digits}f} %"


def chance(probability: float, digits: int = 1) -> str:
    """A probability in [0, 1] that a model gives, in per cent: what it calls certain is not shown as certain."""
    return percent(min(max(probability, 1e-12), 1 - 1e-12), digits)


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
