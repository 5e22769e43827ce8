"""The noise floor: by how much samples of one and the same program differ on this machine."""

import json
import random

from benchlib import judge, results, rows
from benchlib.process import Failed

SPLITS = 400
SEED = 1  # the floor is a statement about the samples, not about how they were split


def file():
    return results.FOLDER / "noise.json"


def floor_in_turns(values):
    """What 95 % of comparisons stay below when both sides are drawn from these samples."""
    draw, half, changes = random.Random(SEED), len(values) // 2, []
    for _ in range(SPLITS):
        mixed = draw.sample(values, len(values))
        changes.append(abs(judge.change(judge.median_of(mixed[:half]),
                                        judge.median_of(mixed[half:]))))
    return sorted(changes)[int(SPLITS * 0.95) - 1]


def floors_of(run):
    """{row: {metric: floors}}. A run taken after another one also sees what the machine became
    meanwhile: the first half of the samples against the second."""
    floors = {}
    for row in run.row_names():
        for metric in sorted(run.metrics()):
            values = run.values(row, metric)
            if len(values) >= 2 * judge.FEWEST:
                in_turns = floor_in_turns(values)
                floors.setdefault(row, {})[metric] = {
                    "in_turns": round(in_turns, 4),
                    "apart": round(max(in_turns, judge.drift(values)), 4)}
    return floors


def store(run):
    """Keeps the floors of this run's rows, and those of other rows if the machine is the same."""
    floors = floors_of(run)
    if not floors:
        raise Failed(f"too few samples for a noise floor: {len(run.samples)}, and it needs "
                     f"{2 * judge.FEWEST}")
    kept = load(run) or {"rows": {}}
    file().write_text(json.dumps({
        "date": results.now(), "environment": run.environment,
        "rows": kept["rows"] | floors}, indent=1) + "\n")
    return floors


def load(run):
    """What was stored on the machine of this run; None where that is nothing."""
    try:
        stored = json.loads(file().read_text())
        same = all(stored["environment"][what] == run.environment[what]
                   for what in results.OF_THE_MACHINE)
        for metrics in stored["rows"].values():
            for floors in metrics.values():
                if not (rows.is_number(floors["in_turns"]) and rows.is_number(floors["apart"])):
                    raise ValueError("a floor is no number")
        return stored if same else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Failed(f"{file()} is no noise floor ({error!r}); scripts/bench calibrate writes "
                     "it anew") from None


def were_taken_in_turns(a, b):
    return (b.name in a.meta.get("taken_in_turns_with", []) and
            a.meta.get("date") == b.meta.get("date"))


def floors_for(threshold, a, b):
    """The function that judge() asks for a row's floor: the threshold, or the measured noise where
    that is more. Without a measurement, runs that were not taken in turns bring their own: the
    drift within each of them."""
    in_turns = were_taken_in_turns(a, b)
    measured = (load(a) or {}).get("rows", {})

    def floor(row, metric, values_a, values_b):
        known = measured.get(row, {}).get(metric)
        if known:
            return max(threshold, known["in_turns" if in_turns else "apart"])
        if in_turns:
            return threshold
        return max(threshold, judge.drift(values_a), judge.drift(values_b))
    return floor
