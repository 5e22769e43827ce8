"""What two sets of samples say about each other. Numbers in, numbers out."""

import dataclasses
import math

from benchlib import build, rows

stats = build.library("scipy.stats", "python3-scipy")

FASTER, SLOWER, SAME, FEW = "faster", "SLOWER", "~", "few"
# Of a whole comparison, all its rows together: so seldom it may call noise a change.
ALPHA = 0.01
FEWEST = 5  # samples of each side; below, their ranks can hardly ever say anything


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The median, and where that of all samples ever to be taken lies, with 95 % confidence: an
    interval between order statistics, which needs no assumption about the distribution. Of fewer
    than six samples it is the range, and the confidence is less."""
    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values):
        ordered = sorted(values)
        n = len(ordered)
        # The largest k so that the k-th smallest is above the true median in at most 2.5 %.
        k = max(1, int(stats.binom.ppf(0.025, n, 0.5)))
        return cls(median_of(ordered), ordered[k - 1], ordered[n - k], n)


@dataclasses.dataclass(frozen=True)
class Judgement:
    row: str
    metric: str
    a: Estimate
    b: Estimate
    p: float  # of Mann and Whitney's U test, corrected after Holm
    raw_p: float
    floor: float  # a change must be larger than this share
    verdict: str

    @property
    def change(self):
        return change(self.a.median, self.b.median)


def median_of(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def change(a, b):
    if a == b:
        return 0.0
    return b / a - 1 if a > 0 else math.inf


def drift(values):
    """By what share the second half of a run's samples differs from the first one."""
    half = len(values) // 2
    return abs(change(median_of(values[:half]), median_of(values[half:]))) if half else 0.0


def p_value(a, b):
    """That samples of one and the same thing differ at least so much, in ranks."""
    if len({*a, *b}) == 1:
        return 1.0
    ties = len({*a, *b}) < len(a) + len(b)  # the exact distribution is one without ties
    return float(stats.mannwhitneyu(a, b, alternative="two-sided",
                                    method="asymptotic" if ties else "exact").pvalue)


def holm(p_values):
    """Holm's correction: the chance that at least one of all these is an error stays what is said
    of each."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def are_few(n_a, n_b, rows_judged):
    """True when not even samples that do not overlap at all would be significant."""
    lowest = 2 / math.comb(n_a + n_b, n_a)
    return min(n_a, n_b) < FEWEST or lowest * rows_judged > ALPHA


def verdict_of(metric, a, b, p, floor, few):
    by = change(a.median, b.median)
    if few:
        return FEW
    if p >= ALPHA or abs(by) <= floor:
        return SAME
    return FASTER if (by > 0) == rows.more_is_better(metric) else SLOWER


def judge(pairs):
    """Judges all pairs (row, metric, values of A, values of B, what a change must exceed) of a
    comparison."""
    raw = [p_value(a, b) for _, _, a, b, _ in pairs]
    judged = []
    for (row, metric, a, b, floor), raw_p, p in zip(pairs, raw, holm(raw)):
        one, other = Estimate.of(a), Estimate.of(b)
        few = are_few(len(a), len(b), len(pairs))
        judged.append(Judgement(row, metric, one, other, p, raw_p, floor,
                                verdict_of(metric, one, other, p, floor, few)))
    return judged


def geometric_mean(judgements):
    """Of the ratios B to A; None where there is none."""
    ratios = [judged.b.median / judged.a.median for judged in judgements
              if judged.a.median > 0 and judged.b.median > 0]
    return float(stats.gmean(ratios)) if ratios else None
