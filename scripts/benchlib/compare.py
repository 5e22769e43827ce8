"""Runs beside each other: a table, a picture, and an exit status."""

import json
import math
import sys

from benchlib import files, judge, noise, results, rows
from benchlib.process import Failed

REGRESSION, NOT_COMPARABLE = 3, 4


class Pair:
    """A run against the first one, judged row by row."""

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.judgements = []

    def only_in_one(self):
        for one, other in ((self.a, self.b), (self.b, self.a)):
            missing = [row for row in one.row_names() if row not in other.row_names()]
            if missing:
                yield one.name, missing


def judge_all(runs, wanted, threshold):
    """All pairs with their judgements, corrected for how many there are over all the pairs."""
    pairs = [Pair(runs[0], other) for other in runs[1:]]
    metrics = rows.select(wanted, set().union(*(run.metrics() for run in runs)))
    work = []
    for pair in pairs:
        floor = noise.floors_for(threshold, pair.a, pair.b)
        for row in pair.a.row_names():
            for metric in metrics:
                a, b = pair.a.values(row, metric), pair.b.values(row, metric)
                if a and b:
                    work.append((pair, (row, metric, a, b, floor(row, metric, a, b))))
    if not work:
        raise Failed(f"no row of '{runs[0].name}' with {' or '.join(wanted)} is in "
                     f"{' or '.join(repr(run.name) for run in runs[1:])}: nothing to compare",
                     NOT_COMPARABLE)
    for (pair, _), judgement in zip(work, judge.judge([values for _, values in work])):
        pair.judgements.append(judgement)
    return pairs


def label(row, metric):
    return rows.short(row) + ("" if metric == rows.DEFAULT else f" {metric}")


def interval(metric, estimate):
    if estimate.n == 1 or estimate.median == 0:
        return rows.text_of(metric, estimate.median)
    half = max(estimate.high - estimate.median, estimate.median - estimate.low)
    return f"{rows.text_of(metric, estimate.median)} ±{half / abs(estimate.median):.0%}"


def percent(share):
    return f"{share:+.1%}" if abs(share) < 99 else "more"


def probability(p):
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def table(pair):
    """Lines of text."""
    lines = [("benchmark", pair.a.name, pair.b.name, "change", "p", "n", "verdict")]
    for judged in pair.judgements:
        lines.append((label(judged.row, judged.metric), interval(judged.metric, judged.a),
                      interval(judged.metric, judged.b), percent(judged.change),
                      probability(judged.p), f"{judged.a.n}+{judged.b.n}", judged.verdict))
    for metric in dict.fromkeys(judged.metric for judged in pair.judgements):
        of_metric = [judged for judged in pair.judgements if judged.metric == metric]
        mean = judge.geometric_mean(of_metric)
        if mean is not None:
            name = "" if metric == rows.DEFAULT else f" of {metric}"
            lines.append((f"geometric mean{name}, {len(of_metric)} rows", "", "",
                          percent(mean - 1), "", "", ""))
    return aligned(lines)


def table_of_one(run, metrics):
    lines = [("benchmark", "median", "lowest .. highest", "n")]
    for row in run.row_names():
        for metric in metrics:
            values = run.values(row, metric)
            if values:
                lines.append((label(row, metric), interval(metric, judge.Estimate.of(values)),
                              f"{rows.text_of(metric, min(values))} .. "
                              f"{rows.text_of(metric, max(values))}", str(len(values))))
    return aligned(lines)


def aligned(lines):
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    for name, *cells in lines:
        yield "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                  zip(cells, widths[1:]))]).rstrip()


def differing_sampling(pair):
    """In words, None when rows ran for as long in both: how long does not only change how sure a
    figure is, but the figure."""
    words = []
    for what, told in (("min_time", "a row"), ("fixed_time", "a row that runs for a fixed time")):
        a, b = pair.a.meta.get(what), pair.b.meta.get(what)
        if a != b and None not in (a, b):
            words.append(f"{a:g} and {b:g} s for {told}")
    return (f"'{pair.a.name}' and '{pair.b.name}' were sampled differently, as with and without "
            f"--quick: {', '.join(words)}" if words else None)


def notes(pair):
    """What a reader must know who believes the table."""
    for run in (pair.a, pair.b):
        meta = run.meta
        if meta.get("complete") is False:
            yield (f"'{run.name}' is incomplete: {len(run.samples)} of "
                   f"{meta.get('samples_wanted', '?')} samples")
        if meta.get("taken_under_pressure"):
            yield (f"{meta['taken_under_pressure']} samples of '{run.name}' were taken while "
                   "others used the machine")
        if run.failed:
            yield f"rows of '{run.name}' that failed: {', '.join(map(rows.short, run.failed))}"
    for name, missing in pair.only_in_one():
        yield f"only in '{name}': {', '.join(map(rows.short, missing))}"
    few = [judged for judged in pair.judgements if judged.verdict == judge.FEW]
    if few:
        fewest = min(min(judged.a.n, judged.b.n) for judged in few)
        yield (f"few: {len(few)} rows with too few samples ({fewest}) to tell a change from luck; "
               "scripts/bench run takes 12 without --quick, and --runs N more")
    below = [judged for judged in pair.judgements
             if judged.verdict == judge.SAME and judged.p < judge.ALPHA]
    if below:
        some = ", ".join(label(judged.row, judged.metric) for judged in below[:5])
        yield (f"{len(below)} rows differ, but not by more than threshold and noise floor: {some}"
               f"{', ...' if len(below) > 5 else ''}")
    if not noise.were_taken_in_turns(pair.a, pair.b) and not noise.load(pair.a):
        yield ("the noise floor of this machine is not known (scripts/bench calibrate): the drift "
               "within each run stands in")


def report(pairs, differing):
    for pair in pairs:
        print()
        if sampling := differing_sampling(pair):
            print(f"note: {sampling}\n")
        for line in table(pair):
            print(line)
        words = list(notes(pair))
        if words:
            print()
            for word in words:
                print(f"note: {word}")
    if differing:
        runs = [pairs[0].a, *(pair.b for pair in pairs)]
        print("\nbench: warning: these runs cannot be compared:", file=sys.stderr)
        for what, values in differing:
            told = ", ".join(f"{run.name}: {value or 'none'}" for run, value in zip(runs, values))
            print(f"  {what.replace('_', ' ')} differs: {told}", file=sys.stderr)


def row_as_json(judged):
    def side(estimate):
        return {"median": estimate.median, "low": estimate.low, "high": estimate.high,
                "n": estimate.n}

    return {
        "benchmark": judged.row, "metric": judged.metric, "a": side(judged.a), "b": side(judged.b),
        "change": judged.change if math.isfinite(judged.change) else None,  # JSON has no infinity
        "p": judged.p, "p_uncorrected": judged.raw_p, "noise_floor": judged.floor,
        "verdict": judged.verdict}


def as_json(pairs, differing, threshold):
    return {
        "baseline": pairs[0].a.name, "threshold": threshold, "differences": dict(differing),
        "comparisons": [{"run": pair.b.name, "rows": list(map(row_as_json, pair.judgements))}
                        for pair in pairs]}


def compare(names, arguments):
    """Gives the exit status."""
    runs = [results.load(name) for name in names]
    pairs = judge_all(runs, arguments.metric, arguments.threshold)
    differing = results.differences(runs)
    report(pairs, differing)
    if arguments.json:
        files.write(arguments.json, json.dumps(as_json(pairs, differing, arguments.threshold),
                                               indent=2) + "\n")
    if arguments.plot:
        from benchlib import plots  # matplotlib, only when it is needed

        plots.compare(pairs, runs, arguments.plot)
    if differing and not arguments.force:
        return NOT_COMPARABLE
    slower = any(judged.verdict == judge.SLOWER for pair in pairs for judged in pair.judgements)
    return REGRESSION if slower and arguments.fail_on_regression else 0
