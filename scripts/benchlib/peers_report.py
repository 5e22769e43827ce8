"""What `bench peers` tells: the table, the README's comparison, the bars."""

import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys

from benchlib import process

BASE = "pool"  # whom all ratios are against
SYSTEM_PYTHON = "/usr/bin/python3"  # whose matplotlib Debian's package is

ROWS = {
    "lease/1_on_4": "lease, 1 thread",
    "lease/2_on_4": "lease, 2 threads",
    "lease/16_on_8": "lease, 16 threads on 8",
    "lease/16_on_4": "lease, 16 threads on 4",
    "handover": "handover",
    "select/1_on_8": "select, 1 thread",
    "select/8_on_8": "select, 8 threads",
    "select/32_on_8": "select, 32 threads on 8",
    "select_tcp/1_on_8": "select over TCP, 1 thread",
    "select_tcp/8_on_8": "select over TCP, 8 threads",
    "select_tcp/32_on_8": "select over TCP, 32 threads on 8",
    "raw/1_on_8": "libpq's own calls, 1 thread",
    "raw/8_on_8": "libpq's own calls, 8 threads",
}


def values(rounds, row, peer):
    """Nanoseconds per operation, over all threads: one value for each round that has one."""
    found = (rows.get(f"{row}/{peer}", {}).get("items_per_second") for rows in rounds)
    return [1e9 / rate for rate in found if rate]


def ratios(rounds, row, peer):
    """How many times as long it takes as tidegate's Pool in the same round."""
    pairs = ((values([rows], row, peer), values([rows], row, BASE)) for rows in rounds)
    return [other[0] / own[0] for other, own in pairs if other and own]


def why(row):
    return str(row.get("error_message") or "it does not say why")


def error_of(rounds, row, peer):
    for rows in rounds:
        if rows.get(f"{row}/{peer}", {}).get("error_occurred"):
            return why(rows[f"{row}/{peer}"])
    return None


def duration(ns):
    if ns < 1e4:
        return f"{ns:.1f} ns" if ns < 100 else f"{ns:.0f} ns"
    return f"{ns / 1e3:.1f} us" if ns < 1e6 else f"{ns / 1e6:.1f} ms"


def times(factor):
    """Two digits that mean something."""
    return f"{factor:.2f} ×" if factor < 2 else f"{factor:.1f} ×" if factor < 10 else f"{factor:.0f} ×"


def table(peers, rounds, failed):
    """Median time per operation and in tidegate's, with the lowest and the highest of all rounds."""
    width = max(len(peer.title) for peer in peers)
    lines = []
    for row, words in ROWS.items():
        of_row = []
        for peer in peers:
            taken, factors = values(rounds, row, peer.name), ratios(rounds, row, peer.name)
            error = error_of(rounds, row, peer.name) or failed.get(peer.name)
            if taken:
                line = f"  {peer.title:{width}}  {duration(statistics.median(taken)):>13}"
                if factors:
                    line += (f"  {statistics.median(factors):11.2f} x  "
                             f"{min(factors):6.2f} .. {max(factors):.2f}")
                of_row.append(line)
            if error and (taken or any(values(rounds, row, other.name) for other in peers)):
                of_row.append(f"  {peer.title:{width}}  failed: {error}")
        if of_row:
            heading = "per operation  in tidegate's  lowest .. highest"
            lines += ["", f"{words + f'  ({row})':{width + 2}}  {heading}", *of_row]
    return "\n".join(lines)


def markdown(peers, rounds, seconds, caption):
    """The same as one table, for a page that says what the columns are. Without the raw rows: it
    would be too wide. `seconds`: per row; `caption`: where the figures come from."""
    columns = [row for row in ROWS if not row.startswith("raw/")
               and any(values(rounds, row, peer.name) for peer in peers)]
    lines = ["| | " + " | ".join(ROWS[row] for row in columns) + " |",
             "|---|" + "---:|" * len(columns)]
    for peer in peers:
        cells = []
        for row in columns:
            taken, factors = values(rounds, row, peer.name), ratios(rounds, row, peer.name)
            cell = duration(statistics.median(taken)).replace(" us", " µs") if taken else "-"
            if factors and peer.name != BASE:
                cell += f" ({times(statistics.median(factors))})"
            cells.append(cell)
        if any(cell != "-" for cell in cells):
            lines.append(f"| {peer.title} | " + " | ".join(cells) + " |")
    count = "1 round" if len(rounds) == 1 else f"{len(rounds)} rounds"
    lines += ["", f"Per operation over all threads, and how many times as long as `tidegate::Pool` "
                  f"takes; medians of {count}, {seconds:g} s for each row.", caption]
    return "\n".join(lines)


def plotter():
    """A Python that has matplotlib, or None."""
    if importlib.util.find_spec("matplotlib"):
        return sys.executable
    asked = subprocess.run([SYSTEM_PYTHON, "-c", "import matplotlib"], capture_output=True)
    return SYSTEM_PYTHON if asked.returncode == 0 else None


def plot(file, peers, rounds):
    bars = {words: {peer.title: (statistics.median(factors), times(statistics.median(factors)))
                    for peer in peers if (factors := ratios(rounds, row, peer.name))}
            for row, words in ROWS.items()}
    bars = {words: of_row for words, of_row in bars.items() if of_row}
    if not bars:
        print("bench: no ratio to plot", file=sys.stderr)
        return
    done = subprocess.run([plotter(), pathlib.Path(__file__).with_name("peers_plot.py"), file],
                           input=json.dumps(bars), text=True)
    if done.returncode != 0:
        raise process.Failed(f"the picture {file} was not drawn")
    print(f"bench: the picture is {file}")
