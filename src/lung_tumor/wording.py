"""Numbers and lists in plain English."""

from __future__ import annotations


def how_many(count: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``1,200 files``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def percent(share: float) -> str:
    """A share in [0, 1] in per cent; never 0 or 100 unless it is exactly that."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "under 1 %"
    if whole == 100 and share < 1:
        return "over 99 %"
    return f"{whole} %"


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
