"""The picture of E4: throughput and p99 over barge_window."""

import os
import tempfile

# Where matplotlib may write: a home that is read-only, or none, is no reason for a warning.
os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "tidegate-matplotlib"))

from benchlib import build, curves, files  # noqa: E402
from benchlib.process import Failed  # noqa: E402

matplotlib = build.library("matplotlib", "python3-matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLOURS = dict(zip(curves.CLIENTS, ("#1f6f8b", "#d98032")))
PARTS = (("throughput at full load", "items_per_second", 1e3, "thousand requests a second"),
         ("p99 of a request at full load", "p99_us", 1e3, "ms"))


def draw(axes, samples, heading, metric, unit, words):
    """A line for each number of clients; the mutex and the vector, which have no window, dashed."""
    for clients, colour in COLOURS.items():
        points = [(place, value / unit) for place, window in enumerate(curves.WINDOWS)
                  if (value := curves.request(samples, curves.FULL, window, clients, metric))]
        if points:
            axes.plot(*zip(*points), color=colour, marker="o", label=f"Pool, {clients} clients on 8")
        other = curves.request(samples, curves.FULL, "mutex_vector", clients, metric)
        if other:
            axes.axhline(other / unit, color=colour, linestyle="--", linewidth=1,
                         label=f"mutex_vector, {clients}")
    axes.set_xticks(range(len(curves.WINDOWS)), labels=map(str, curves.WINDOWS))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("barge_window, us", fontsize=8)
    axes.set_ylabel(words, fontsize=8)
    axes.set_title(heading, fontsize=10)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def barge_window(file, samples):
    """Says so, and draws nothing, where no such row was run."""
    if curves.barge_window(samples, "") is None:
        print("bench: no curve to plot: no row of oversubscribed or open_loop was run")
        return
    figure, grid = pyplot.subplots(1, len(PARTS), figsize=(10, 3.6), layout="constrained")
    for axes, part in zip(grid, PARTS):
        draw(axes, samples, *part)
    handles, labels = grid[0].get_legend_handles_labels()
    grid[1].legend(handles, labels, fontsize=8, frameon=False)
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise Failed(files.told(error)) from None
    finally:
        pyplot.close(figure)
    print(f"bench: the picture is {file}")
