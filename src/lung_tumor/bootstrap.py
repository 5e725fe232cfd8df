"""Confidence intervals of any figure, by drawing groups and not files: copies of one picture are no new evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Statistic = Callable[[Indices], float | None]
"""A figure of the rows at these indices, which may repeat; None or NaN where they do not define it."""

LEVEL = 0.95
"""Share of repetitions of the study in which an interval is meant to hold the truth."""

FEWEST_GROUPS = 5
"""Groups of a class below which no interval is drawn from it.

Of two groups half of all resamples hold one of them alone, so that they know next to nothing of how groups differ;
``benchmarks/interval_coverage.py`` shows how rarely such intervals hold the truth.
"""

NARROW = 10
"""Groups of a class below which an interval drawn from it says so: with 5 it held the truth in 87 to 96 % of studies."""

MINOR_CLASS = 0.1
"""Share of the variance of a mean over slices up to which a class of too few groups is no hindrance to its interval.

Classes of k groups with the part w of the slices add w² / k to it each, were groups of all of them equally uncertain. So a
tenth of the slices hinders if they are one group's, however many slices the others have.
"""

ALIKE = "every draw gave the same: too little to draw from"

_ROUNDING = 1e-12
"""Draws no farther apart are equal: sums in another order differ by so much."""

_MOST_UNDEFINED = 0.05
"""Share of draws that may leave the figure undefined; beyond it the ends of the interval would be guesses."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval.

    Attributes:
        low: lower end, None where there is no interval.
        high: upper end, None where there is no interval.
        draws: number of resamples taken.
        undefined: how many of them left the figure undefined; the interval is of the others.
        reason: why there is no interval, or what to know about it; empty if nothing.
    """

    low: float | None
    high: float | None
    draws: int
    undefined: int = 0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def group_bootstrap(
    groups: Sequence[str], strata: Sequence[str], statistic: Statistic, draws: int, seed: int
) -> Interval:
    """Expanded percentile bootstrap (:func:`tails`) over whole groups, stratified by class.

    Two figures on the same rows under the same seed see the same resamples, so that an interval of their difference is
    paired. In 500 simulated studies with copies it held the truth in 94 to 96 % with 60 groups a class, in 94 to 97 % with 14
    in the smaller one and in 87 to 96 % with 5 (``benchmarks/interval_coverage.py``).

    Args:
        groups: (n,) group of each row; rows of one group are drawn together.
        strata: (n,) class of each row. A group of several classes makes a stratum of its own, of that combination.
        statistic: see :data:`Statistic`.
        draws: number of resamples, at least 1; 1,000 for an interval to be reported.
        seed: 0 or more.

    Returns:
        Without ends, and with the reason, where a class has fewer than :data:`FEWEST_GROUPS`, where more than 5 % of the draws
        leave the figure undefined, or where all draws agree: an interval of no width would read as certainty.

    Raises:
        ValueError: no row, columns of different length, or no draw.
    """
    if reason := few_groups(groups, strata):
        return Interval(None, None, draws=0, reason=reason)
    values = [statistic(indices) for indices in resamples(groups, strata, draws, seed)]
    return interval_of(values, fewest_groups(groups, strata))


def tails(groups: int) -> tuple[float, float]:
    """Which quantiles of the draws are the ends of an interval that rests on so many groups.

    Resamples spread less than studies do, by sqrt((n - 1) / n), and know nothing of how uncertain that spread is. So the ends
    lie where Student's interval of a mean would have them, of normal draws: at Phi(-sqrt(n / (n - 1)) * t(0.975; n - 1)) and
    at its complement (the expanded percentile interval: T. Hesterberg, What Teachers Should Know About the Bootstrap, The
    American Statistician 69, 2015). The lower one is 0.025 of many groups, 0.0218 of 60, 0.0125 of 14 and 0.00095 of 5, there
    nearly the smallest of a thousand draws.

    Args:
        groups: n, the fewest groups of any class that tells on the figure (:func:`fewest_groups`), 2 or more.

    Raises:
        ValueError: fewer than two groups.
    """
    # Not above: the served app reads operating points, and with them this module, without SciPy.
    from scipy.special import stdtrit

    if groups < 2:
        raise ValueError(f"an interval by drawing needs 2 groups or more, received {groups}")
    reach = float(stdtrit(groups - 1, (1.0 + LEVEL) / 2.0)) * (groups / (groups - 1)) ** 0.5
    low = NormalDist().cdf(-reach)
    return low, 1.0 - low


def interval_of(values: Sequence[float | None], groups: int) -> Interval:
    """The interval of a figure from its values in resamples, by their quantiles at :func:`tails`.

    Args:
        values: (draws,) the figure in every resample of :func:`resamples`; None or NaN is undefined.
        groups: the fewest groups of any class that tells on the figure (:func:`fewest_groups`), 2 or more.

    Raises:
        ValueError: there is no value, or fewer than two groups.
    """
    if len(values) == 0:
        raise ValueError("an interval needs the values of at least one draw, received none")
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    defined = numbers[~np.isnan(numbers)]
    undefined = len(numbers) - len(defined)
    reason = f"{undefined} of {len(numbers)} draws left the figure undefined" if undefined else ""
    if undefined > _MOST_UNDEFINED * len(numbers):
        return Interval(None, None, len(numbers), undefined, reason)
    if np.ptp(defined) <= _ROUNDING:
        return Interval(None, None, len(numbers), undefined, ALIKE)
    low, high = np.quantile(defined, tails(groups))
    narrow = f"of {groups} groups in a class: it holds the truth less often than it says" if groups < NARROW else ""
    told = "; ".join(text for text in (reason, narrow) if text)
    return Interval(float(low), float(high), len(numbers), undefined, told)


def resamples(groups: Sequence[str], strata: Sequence[str], draws: int, seed: int) -> Iterator[Indices]:
    """Yield the row indices of each resample: of every stratum as many groups as it has, drawn with replacement.

    So no resample lacks a class. Their lengths differ where groups differ in size. For figures that are costly
    together and cheap at once, go through these once and give the values of each to :func:`interval_of`.

    Args:
        groups: (n,) group of each row.
        strata: (n,) class of each row.
        draws: number of resamples, at least 1.
        seed: the same seed gives the same resamples.

    Raises:
        ValueError: no row, columns of different length, or no draw.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, received {draws}")
    order, starts, sizes, stratum_of = _members(groups, strata)
    pools = [np.flatnonzero(stratum_of == stratum) for stratum in range(int(stratum_of.max()) + 1)]
    rng = np.random.default_rng(seed)

    def draw() -> Indices:
        drawn = np.concatenate([pool[rng.integers(len(pool), size=len(pool))] for pool in pools])
        ends = np.cumsum(sizes[drawn])
        # Places of the drawn groups' rows in ``order``, without a loop over groups.
        places = np.repeat(starts[drawn] - ends + sizes[drawn], sizes[drawn]) + np.arange(ends[-1])
        return np.asarray(order[places], dtype=np.intp)

    # Not a generator function: the checks above must not wait for the first value to be asked for.
    return (draw() for _ in range(draws))


def few_groups(groups: Sequence[str], strata: Sequence[str], *, mean: bool = False) -> str:
    """Why a figure of these rows can have no interval by drawing: which classes have too few groups; empty if none has.

    Args:
        groups: (n,) group of each row.
        strata: (n,) class of each row.
        mean: whether the figure is a mean over rows, on which a class may hardly tell (:data:`MINOR_CLASS`).
    """
    few = [
        f"class {name} has {_counted(own)}"
        for name, own in _telling(groups, strata, mean).items()
        if len(own) < FEWEST_GROUPS
    ]
    return f"{', '.join(few)}; an interval needs {FEWEST_GROUPS}" if few else ""


def fewest_groups(groups: Sequence[str], strata: Sequence[str], *, mean: bool = False) -> int:
    """How many groups the class with the fewest has, of those that tell on a figure of these rows; arguments as above.

    So many groups its interval rests on (:func:`tails`), as if all classes were as poorly known.
    """
    return min(len(own) for own in _telling(groups, strata, mean).values())


def exact_share(hits: npt.NDArray[np.bool_], groups: Sequence[str], strata: Sequence[str]) -> Interval | None:
    """The 95 % interval of a share that has an exact one; None of another share.

    It has one in two cases. *Every group is one slice*: then groups are independent trials, and no drawing is needed (Clopper
    and Pearson 1934); of several classes with chances of their own their number spreads less than of one (Hoeffding 1956), so
    that the interval is wide rather than narrow. Near 0 and 1, where target sensitivities lie, drawing would hold the truth in
    54 to 95 % of studies (``benchmarks/interval_coverage.py``). *All slices or none have it*, where resamples would all agree:
    if each group of one class has it with a chance q, all of k have it with a chance q**k, so that q is at least
    0.025 ** (1 / k). Of classes with k groups and the part w of the slices each, the share is at least 0.025 ** max(w / k)
    (Jensen's inequality): few groups with many slices count most.

    Args:
        hits: (n,) whether each slice has it.
        groups: (n,) group of each slice; copies in one group are one observation.
        strata: (n,) class of each slice. Groups of several classes count as a class of that combination.
    """
    if len(hits) == 0:
        return None
    _, _, sizes, stratum_of = _members(groups, strata)
    if hits.any() != hits.all():
        return share_of_groups(int(hits.sum()), len(sizes)) if sizes.max() == 1 else None
    # A group of several classes is one observation, not one of each: it makes a class of its own, as in the resamples.
    heaviest = (np.bincount(stratum_of, weights=sizes) / np.bincount(stratum_of)).max() / len(hits)
    end = float(((1.0 - LEVEL) / 2.0) ** heaviest)
    reason = f"exact interval, as all slices of {_counted(set(groups))} agree"
    return Interval(end, 1.0, 0, reason=reason) if hits.all() else Interval(0.0, 1.0 - end, 0, reason=reason)


def share_of_groups(hits: int, groups: int) -> Interval:
    """The exact 95 % interval of the share of independent groups that have something (Clopper and Pearson 1934).

    Args:
        hits: how many have it, 0 to ``groups``.
        groups: how many there are, 1 or more.

    Raises:
        ValueError: no group, or more hits than groups.
    """
    # As in :func:`tails`.
    from scipy.stats import binomtest

    if not 0 <= hits <= groups or groups < 1:
        raise ValueError(f"a share needs 0 to n hits of n groups, 1 or more, received {hits} of {groups}")
    ends = binomtest(hits, groups).proportion_ci(LEVEL, method="exact")
    return Interval(float(ends.low), float(ends.high), 0, reason=f"exact interval of {_counted_as(groups)}")


def _telling(groups: Sequence[str], strata: Sequence[str], mean: bool) -> dict[str, set[str]]:
    """The groups of each class that tells on a figure; on a mean over rows :data:`MINOR_CLASS` says which do."""
    behind, rows = _groups_behind(groups, strata), Counter(map(str, strata))
    variances = {name: (rows[name] / len(strata)) ** 2 / len(own) for name, own in behind.items()}
    least = MINOR_CLASS * sum(variances.values()) if mean else 0.0
    # Of a dozen alike none has more than a tenth: then all tell.
    return {name: own for name, own in behind.items() if variances[name] > least} or behind


def _groups_behind(groups: Sequence[str], strata: Sequence[str]) -> dict[str, set[str]]:
    """The groups that each class has, classes in the order of their names."""
    _require_fitting(groups, strata)
    behind: dict[str, set[str]] = {str(name): set() for name in sorted(set(strata))}
    for group, stratum in zip(groups, strata, strict=True):
        behind[str(stratum)].add(str(group))
    return behind


def _counted(groups: set[str]) -> str:
    return _counted_as(len(groups))


def _counted_as(groups: int) -> str:
    return "1 group" if groups == 1 else f"{groups} groups"


def _members(groups: Sequence[str], strata: Sequence[str]) -> tuple[Indices, Indices, Indices, Indices]:
    """Rows in the order of their groups' names; where each group starts there, its size and its stratum's number."""
    _require_fitting(groups, strata)
    group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    order = np.argsort(group_of, kind="stable")
    sizes = np.bincount(group_of)
    starts = np.cumsum(sizes) - sizes
    labels = np.asarray(strata, dtype=str)
    combined = [tuple(np.unique(labels[rows])) for rows in np.split(order, starts[1:])]
    numbers = {combination: number for number, combination in enumerate(sorted(set(combined)))}
    return order, starts, sizes, np.array([numbers[combination] for combination in combined], dtype=np.intp)


def _require_fitting(groups: Sequence[str], strata: Sequence[str]) -> None:
    if len(groups) != len(strata) or len(groups) == 0:
        raise ValueError(f"groups and strata need one entry a row, received {len(groups)} and {len(strata)}")
