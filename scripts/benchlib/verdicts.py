"""What samples say about targets: in a terminal, and as a table for a page."""

import dataclasses
import statistics

MET, MISSED, FAILED, NOT_RUN = "met", "missed", "failed", "not run"
SHOUTED = {MET: "PASS", MISSED: "MISS", FAILED: "FAIL"}


@dataclasses.dataclass(frozen=True)
class Verdict:
    target: object
    ratios: list  # one for each sample that has all rows it takes
    failed: tuple  # those of its rows that have failed

    @property
    def median(self):
        return statistics.median(self.ratios)

    @property
    def word(self):
        if not self.ratios:
            return FAILED if self.failed else NOT_RUN
        return MET if self.target.holds(self.median) else MISSED


def judge(targets, runs, failed):
    """`runs`: of each sample {row's name: row}. `failed`: {row's name: why} of rows that failed in
    any of them, and are not in that sample."""
    return [Verdict(target,
                    [ratio for ratio in map(target.ratio, runs) if ratio is not None],
                    tuple(name for name in target.needs() if name in failed))
            for target in targets]


def summary(verdicts):
    words = [verdict.word for verdict in verdicts]
    judged = words.count(MET) + words.count(MISSED)
    told = f"{words.count(MET)} of {judged} targets met"
    for word, count in ((f"not judged ({FAILED})", words.count(FAILED)),
                        ("not judged (rows not run)", words.count(NOT_RUN))):
        told += f", {count} {word}" if count else ""
    return told


def report(targets, runs, failed):
    """Prints the table and what has failed, and gives the verdicts."""
    verdicts = judge(targets, runs, failed)
    width = max(len(target.claim) for target in targets)
    print(f"\n{'':{width}}  target   median  lowest .. highest    n")
    for verdict in verdicts:
        target, ratios = verdict.target, verdict.ratios
        if ratios:
            print(f"{target.claim:{width}}  {target.relation} {target.factor:4.2f}"
                  f"  {verdict.median:7.2f}  {min(ratios):6.2f} .. {max(ratios):6.2f}"
                  f"  {len(ratios):3}  {SHOUTED[verdict.word]}")
        elif verdict.failed:
            print(f"{target.claim:{width}}  {target.relation} {target.factor:4.2f}"
                  f"  {'':33}  {SHOUTED[FAILED]}")
    print(f"\n{summary(verdicts)}")
    for name, why in failed.items():
        print(f"failed: {name}: {why}")
    return verdicts


def missed(verdicts):
    return any(verdict.word == MISSED for verdict in verdicts)


def markdown(verdicts, caption):
    """All of them, also those without a figure. `caption`: where the figures come from."""
    lines = ["| | target | median | lowest .. highest | n | |", "|---|---:|---:|---:|---:|---|"]
    for verdict in verdicts:
        target, ratios = verdict.target, verdict.ratios
        sign = target.relation.replace("<=", "≤").replace(">=", "≥")
        figures = (f"{verdict.median:.2f} | {min(ratios):.2f} .. {max(ratios):.2f}" if ratios
                   else "- | -")
        lines.append(f"| {target.claim} | {sign} {target.factor:.4g} | {figures} "
                     f"| {len(ratios)} | {verdict.word} |")
    return "\n".join([*lines, "", f"{summary(verdicts)}; medians of the samples, a process each.",
                      caption])
