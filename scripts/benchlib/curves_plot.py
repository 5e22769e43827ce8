"""The pictures of E4 and E8: throughput and p99 over barge_window, and over the number of lanes."""

import dataclasses
import os
import tempfile

# Where matplotlib may write: a home that is read-only, or none, is no reason for a warning.
os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "tidegate-matplotlib"))

from benchlib import build, curves, files  # noqa: E402
from benchlib.process import Failed  # noqa: E402

matplotlib = build.library("matplotlib", "python3-matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLOURS = {32: "#1f6f8b", 128: "#d98032", 8: "#6a8f3c"}
PARTS = (("throughput at full load", "items_per_second", 1e3, "thousand requests a second"),
         ("p99 of a request at full load", "p99_us", 1e3, "ms"))


@dataclasses.dataclass(frozen=True)
class Curve:
    over: str  # what the axis is
    places: tuple  # along it
    clients: tuple  # a line for each of these numbers
    figure: callable  # (samples, place or "mutex_vector", clients, metric) -> a number, or None


WINDOW = Curve("barge_window, us", curves.WINDOWS, curves.CLIENTS,
               lambda samples, *which: curves.request(samples, curves.FULL, *which))
LANES = Curve("pool_lanes", curves.LANES, curves.LANE_CLIENTS, curves.shared)


def draw(axes, samples, curve, heading, metric, unit, words):
    """A line for each number of clients; the mutex and the vector, which have neither windows nor
    lanes, dashed."""
    for clients in curve.clients:
        colour = COLOURS[clients]
        points = [(at, value / unit) for at, place in enumerate(curve.places)
                  if (value := curve.figure(samples, place, clients, metric))]
        if points:
            axes.plot(*zip(*points), color=colour, marker="o", label=f"Pool, {clients} clients on 8")
        other = curve.figure(samples, "mutex_vector", clients, metric)
        if other:
            axes.axhline(other / unit, color=colour, linestyle="--", linewidth=1,
                         label=f"mutex_vector, {clients}")
    axes.set_xticks(range(len(curve.places)), labels=map(str, curve.places))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(curve.over, fontsize=8)
    axes.set_ylabel(words, fontsize=8)
    axes.set_title(heading, fontsize=10)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def barge_window(file, samples):
    if curves.barge_window(samples, "") is None:
        print("bench: no curve to plot: no row of oversubscribed or open_loop was run")
    else:
        plot(file, samples, WINDOW)


def lanes(file, samples):
    if curves.lanes(samples, "") is None:
        print("bench: no curve to plot: no row of lanes was run")
    else:
        plot(file, samples, LANES)


def plot(file, samples, curve):
    figure, grid = pyplot.subplots(1, len(PARTS), figsize=(10, 3.6), layout="constrained")
    for axes, part in zip(grid, PARTS):
        draw(axes, samples, curve, *part)
    handles, labels = grid[0].get_legend_handles_labels()
    grid[1].legend(handles, labels, fontsize=8, frameon=False)
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise Failed(files.told(error)) from None
    finally:
        pyplot.close(figure)
    print(f"bench: the picture is {file}")
