"""Bars of `bench peers`: reads {row: {peer: [times as long as tidegate, in words]}} from its input.

usage: peers_plot.py FILE

A program of its own, since Debian's matplotlib belongs to Debian's Python.
"""

import json
import math
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt, ticker  # noqa: E402

OURS, OTHERS = "#1f6f8b", "#c8ccd0"


def draw(axes, heading, bars, names):
    names = [name for name in names if name in bars]
    colours = [OURS if name.startswith("tidegate") else OTHERS for name in names]
    lengths = [bars[name][0] for name in names]
    drawn = axes.barh(names, lengths, color=colours)
    axes.bar_label(drawn, labels=[bars[name][1] for name in names], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, min(lengths) / 1.5), max(lengths) * 4)
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.axvline(1, color=OURS, linewidth=0.8)
    axes.invert_yaxis()
    axes.set_title(heading, fontsize=10)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    rows = json.load(sys.stdin)
    names = list(dict.fromkeys(name for bars in rows.values() for name in bars))
    columns = min(2, len(rows))
    lines = math.ceil(len(rows) / columns)
    figure, grid = plt.subplots(lines, columns, figsize=(6 * columns, 0.8 + 2.6 * lines),
                                squeeze=False, layout="constrained")
    for axes, (heading, bars) in zip(grid.flat, rows.items()):
        draw(axes, heading, bars, names)
    for axes in grid.flat[len(rows):]:
        axes.set_visible(False)
    figure.suptitle("Time per operation, in that of tidegate::Pool (shorter is faster)")
    try:
        figure.savefig(sys.argv[1], dpi=120)
    except OSError as error:
        sys.exit(f"bench: {sys.argv[1]} cannot be written: {error.strerror}")


if __name__ == "__main__":
    main()
