"""Whether comparisons of a program with itself call it the same: real ones, each with samples of its
own."""

import dataclasses
import math

from benchlib import arguments, commands, compare, judge, results, rows, samples
from benchlib.process import Failed

# Short ones, as many of each side as four rows need before anything can be called a change.
PLAN = samples.Plan(samples=6, min_time=0.05, fixed_time=0.3)
GOOD = 0.95  # of the tries: at least so many must call everything the same
MISSED = 3


def tries(options):
    """Takes samples of one program as if it were two, in turns, and compares them, so often. Gives
    the exit status."""
    results.check_folder()
    plan = dataclasses.replace(PLAN, samples=options.runs or PLAN.samples,
                               patient=not options.any_load)
    program, seed = commands.program_of(options), commands.seed_of(options)
    sides = [samples.Side(f"calibration-{letter}", program,
                          results.revision_of(results.REPOSITORY)) for letter in "ab"]
    good = 0
    for number in range(1, options.tries + 1):
        samples.take(sides, options.suite, plan, options.filter, seed + number)
        pair, = compare.judge_all([results.load(side.name) for side in sides], [rows.DEFAULT],
                                  arguments.THRESHOLD)
        changed = [judged for judged in pair.judgements if judged.verdict != judge.SAME]
        if any(judged.verdict == judge.FEW for judged in changed):
            raise Failed(f"{plan.samples} samples of each side are too few for "
                         f"{len(pair.judgements)} rows: a --filter for fewer rows, or --runs N")
        good += not changed
        print(f"try {number} of {options.tries}: " + ("; ".join(map(told, changed)) or
              f"~ for all {len(pair.judgements)} rows"), flush=True)
    print(f"\nin {good} of {options.tries} tries every verdict was ~")
    return 0 if good >= math.ceil(GOOD * options.tries) else MISSED


def told(judged):
    return (f"{rows.short(judged.row)} {judged.verdict}, {compare.percent(judged.change)}, "
            f"p {compare.probability(judged.p)}")
