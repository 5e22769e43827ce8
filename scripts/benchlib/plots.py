"""Pictures of comparisons, as PNG or SVG."""

import math
import os
import re
import tempfile

# Where matplotlib may write: a home that is read-only, or none, is no reason for a warning.
os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "tidegate-matplotlib"))

from benchlib import build, rows  # noqa: E402
from benchlib.process import Failed  # noqa: E402

matplotlib = build.library("matplotlib", "python3-matplotlib")
matplotlib.use("Agg")
from matplotlib import patches, pyplot  # noqa: E402

COLOURS = ("#4878a8", "#e08a3c", "#5b9e62", "#a3608f", "#8c8c8c", "#b8a236")
MOST_ROWS = 30  # that one picture can show so that they can be read
HATCHES = ("", "///", "...", "xxx")  # when the colours are over and begin again
LEGENDS_PER_LINE = 6
CURVES_PER_LINE, LINE_HEIGHT = 3, 2.4
PERCENTILE = re.compile(r"(?:(?P<of>.+)_)?(?P<name>p50|p90|p99|p999|p9999|max)_(?:ns|us|ms)")
POSITIONS = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "p9999": 99.99}


def looks(runs):
    """A colour and a hatch for each."""
    return [(COLOURS[number % len(COLOURS)], HATCHES[number // len(COLOURS) % len(HATCHES)])
            for number in range(len(runs))]


def boxes(axes, runs, shown):
    """A box for each run and row, over the row's median in the first run: so rows that differ a
    thousandfold share an axis."""
    height, legend = 0.8 / len(runs), []
    for number, (run, (colour, hatch)) in enumerate(zip(runs, looks(runs))):
        data, places = [], []
        for place, (row, metric, unit) in enumerate(shown):
            values = run.values(row, metric)
            if values:
                data.append([value / unit for value in values])
                places.append(place + (number - (len(runs) - 1) / 2) * height)
        drawn = axes.boxplot(data, positions=places, widths=height * 0.8, vert=False,
                             patch_artist=True, manage_ticks=False, whis=(0, 100),
                             medianprops={"color": "black"})
        for box in drawn["boxes"]:
            box.set(facecolor=colour, hatch=hatch, linewidth=0.6)
        legend.append(patches.Patch(facecolor=colour, hatch=hatch, label=run.name))
    axes.axvline(1, color="#999999", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(shown)))
    axes.set_yticklabels([f"{rows.short(row)}{'' if metric == rows.DEFAULT else ' ' + metric}\n"
                          f"{rows.text_of(metric, unit)}" for row, metric, unit in shown],
                         fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}×")
    axes.set_xlabel(f"relative to the median of {runs[0].name}; box: quartiles, whiskers: extremes")
    axes.legend(handles=legend, loc="upper center",
                bbox_to_anchor=(0.5, 1 + 0.5 / max(len(shown), 1) + 0.04),
                ncol=min(len(runs), LEGENDS_PER_LINE), frameon=False)
    axes.grid(axis="x", linewidth=0.3)


def curves_of(run):
    """{(row, what): {percentile's name: median over the samples}} of rows that count them."""
    curves = {}
    for row in run.row_names():
        for metric in sorted(run.metrics()):
            found = PERCENTILE.fullmatch(metric)
            values = run.values(row, metric) if found else []
            if values:
                middle = sorted(values)[len(values) // 2]
                curves.setdefault((row, found["of"] or "time"), {})[found["name"]] = (
                    middle * rows.unit_of(metric))
    return {key: curve for key, curve in curves.items() if len(POSITIONS.keys() & curve.keys()) > 1}


def nines(percent):
    """The place of a percentile: each nine as far from the next."""
    return -math.log10(1 - percent / 100)


def curve(axes, row, what, runs, of_runs):
    for run, of_run, (colour, _) in zip(runs, of_runs, looks(runs)):
        known = of_run.get((row, what), {})
        points = [(nines(percent), known[name]) for name, percent in POSITIONS.items()
                  if name in known]
        if points:
            axes.plot(*zip(*points), color=colour, marker="o", markersize=4, label=run.name)
        if "max" in known and points:
            last = points[-1][0] + 1
            axes.plot([points[-1][0], last], [points[-1][1], known["max"]], color=colour,
                      linestyle=":", marker="^", markersize=5, markevery=[1])
    places = {nines(percent): f"{percent:g} %" for name, percent in POSITIONS.items()
              if any(name in of_run.get((row, what), {}) for of_run in of_runs)}
    if any("max" in of_run.get((row, what), {}) for of_run in of_runs):
        places[max(places) + 1] = "max"
    axes.set_xticks(list(places), labels=list(places.values()), fontsize=7)
    axes.set_yscale("log")
    lowest, highest = axes.get_ylim()
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(
        subs=(1, 2, 5) if highest < 100 * lowest else (1,), numticks=12))
    axes.yaxis.set_major_formatter(lambda y, _: rows.text_of(rows.DEFAULT, y))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title(f"{rows.short(row)}\n{what}", fontsize=8)
    axes.grid(linewidth=0.3)


def compare(pairs, runs, file):
    """Box plots of all rows that were compared, and below them a curve for each row that counts
    percentiles."""
    judged = {}
    for pair in pairs:
        for judgement in pair.judgements:
            known = judged.setdefault((judgement.row, judgement.metric), judgement)
            if abs(judgement.change) > abs(known.change):
                judged[judgement.row, judgement.metric] = judgement
    shown = [judgement for judgement in judged.values() if judgement.a.median > 0]
    if len(shown) > MOST_ROWS:
        largest = sorted(shown, key=lambda judgement: -abs(judgement.change))[:MOST_ROWS]
        shown = [judgement for judgement in shown if judgement in largest]
    of_runs = [curves_of(run) for run in runs]
    keys = list(dict.fromkeys(key for of_run in of_runs for key in of_run))[:MOST_ROWS]

    box_height = 1.2 + len(shown) * max(0.45, 0.2 * len(runs))
    lines = math.ceil(len(keys) / CURVES_PER_LINE)
    figure = pyplot.figure(figsize=(10, box_height + LINE_HEIGHT * lines), layout="constrained")
    parts = figure.subfigures(2 if lines else 1, 1, squeeze=False,
                              height_ratios=[box_height] + [LINE_HEIGHT * lines] * bool(lines))
    boxes(parts[0, 0].add_subplot(), runs,
          [(judgement.row, judgement.metric, judgement.a.median) for judgement in shown])
    for number, (row, what) in enumerate(keys, 1):
        curve(parts[1, 0].add_subplot(lines, CURVES_PER_LINE, number), row, what, runs, of_runs)
    if len(judged) > len(shown):
        figure.suptitle(f"the {len(shown)} rows that changed most, of {len(judged)}", fontsize=9)
    try:
        figure.savefig(file, dpi=130)
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror}") from None
    finally:
        pyplot.close(figure)
