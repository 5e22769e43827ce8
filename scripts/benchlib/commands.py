"""What the commands of scripts/bench do with samples and runs."""

import dataclasses
import pathlib
import random

from benchlib import REPOSITORY, build, compare, noise, results, revisions, rows, samples
from benchlib.process import Failed, WrongUsage


def plan_of(arguments):
    plan = samples.QUICK if arguments.quick else samples.FULL
    return dataclasses.replace(plan, samples=arguments.runs or plan.samples,
                               patient=not arguments.any_load)


def seed_of(arguments):
    return random.randrange(1 << 31) if arguments.seed is None else arguments.seed


def program_of(arguments):
    if not arguments.program:
        return build.program(arguments.suite)
    program = pathlib.Path(arguments.program).absolute()
    if not program.is_file():
        raise WrongUsage(f"there is no program {program}")
    return program


def run(arguments):
    results.check_new_name(arguments.name)
    if (results.FOLDER / arguments.name).exists() and not arguments.replace:
        raise WrongUsage(f"there is a run '{arguments.name}' already: take another name, or say "
                         "--replace")
    results.check_folder()
    side = samples.Side(arguments.name, program_of(arguments), results.revision_of(REPOSITORY))
    samples.take([side], arguments.suite, plan_of(arguments), arguments.filter,
                 seed_of(arguments))
    return 0


def ab(arguments):
    results.check_folder()
    commits = [revisions.commit_of(ref) for ref in (arguments.ref_a, arguments.ref_b)]
    patched = f" with {arguments.patch_b.name}" if arguments.patch_b else ""
    with revisions.checked_out(*commits) as roots:
        if arguments.patch_b:
            revisions.apply(arguments.patch_b, roots[1])
        sides = [samples.Side(f"ab-{letter}-{commit[:9]}",
                              build.program(arguments.suite, root), commit[:9] + more)
                 for letter, commit, root, more in zip("ab", commits, roots, ("", patched))]
        samples.take(sides, arguments.suite, plan_of(arguments), arguments.filter,
                     seed_of(arguments))
    return compare.compare([side.name for side in sides], arguments)


def calibrate(arguments):
    results.check_folder()
    plan = plan_of(arguments)
    plan = dataclasses.replace(plan, samples=2 * plan.samples)  # for two sides that are the same
    name = f"calibration-{arguments.suite}"
    side = samples.Side(name, program_of(arguments), results.revision_of(REPOSITORY))
    samples.take([side], arguments.suite, plan, arguments.filter, seed_of(arguments))
    taken = results.load(name)
    floors = noise.store(taken)
    width = max(len(rows.short(row)) for row in floors)
    print(f"\n{'noise floor of one operation':{width}}  in turns   apart")
    for row, metrics in floors.items():
        if rows.DEFAULT in metrics:
            floor = metrics[rows.DEFAULT]
            print(f"{rows.short(row):{width}}  {floor['in_turns']:8.1%}  {floor['apart']:6.1%}")
    disturbed = taken.meta["taken_under_pressure"]
    if disturbed:
        print(f"\nnote: {disturbed} of {len(taken.samples)} samples were taken while others used "
              "the machine: the floor is theirs, too, and hides more than it should")
    print(f"\nbench: kept in {results.FOLDER.name}/{noise.file().name}; comparisons on this "
          "machine call nothing below it a change")
    return 0


def names(_arguments):
    lines = [("run", "taken", "suite", "samples", "revision", "filter")]
    for name in results.names():
        try:
            meta = results.meta_of(results.FOLDER / name)
        except Failed as broken:  # one that cannot be read hides none of the others
            lines.append((name, f"cannot be read: {broken}", "", "", "", ""))
            continue
        count = len(list((results.FOLDER / name).glob("run-*.json")))
        of = "" if meta.get("complete", True) else f" of {meta.get('samples_wanted', '?')}"
        lines.append((name, str(meta.get("date", "?"))[:16].replace("T", " "),
                      str(meta.get("suite", "?")), f"{count}{of}",
                      str(meta.get("revision", "?")), str(meta.get("filter", ""))))
    if len(lines) == 1:
        print(f"no runs in {results.FOLDER.name}; scripts/bench run NAME takes one")
        return 0
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    return 0


def show(arguments):
    taken = results.load(arguments.name)
    for what in ("date", "revision", "suite", "filter", "repeated", "taken_under_pressure"):
        if taken.meta.get(what):
            print(f"{what.replace('_', ' ')}: {taken.meta[what]}")
    for what, value in taken.environment.items():
        print(f"{what.replace('_', ' ')}: {value}")
    of = taken.meta.get("samples_wanted", len(taken.samples))
    print(f"samples: {len(taken.samples)}"
          f"{f' of {of}: incomplete' if taken.meta.get('complete') is False else ''}\n")
    for line in compare.table_of_one(taken, rows.select(arguments.metric, taken.metrics())):
        print(line)
    return 0
