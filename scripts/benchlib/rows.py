"""Rows of a Google Benchmark result file, and the metrics that can be read from them."""

import json
import math
import re
import statistics
import sys

from benchlib.process import Failed, WrongUsage

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
NO_METRIC = {"family_index", "per_family_instance_index", "repetitions", "repetition_index",
             "threads", "iterations", "time"}
MORE_IS_BETTER = re.compile(r".*_per_second|.*_rate|jain|least")
DEFAULT = "time"


def read(file):
    """The whole of a result file. Says what is wrong with one that is none."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{file} cannot be read: {error}") from None
    if not text.strip():
        raise Failed(f"{file} is empty: the benchmark that wrote it did not end; remove it, or "
                     "take the run again")
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failed(f"{file} is no JSON, or was cut off ({error}); remove it, or take the run "
                     "again") from None
    if not (isinstance(result, dict) and isinstance(result.get("context"), dict) and
            isinstance(result.get("benchmarks"), list) and
            all(isinstance(row, dict) and "name" in row for row in result["benchmarks"])):
        raise Failed(f"{file} is JSON, but no result of Google Benchmark (one has \"context\" and "
                     "\"benchmarks\")")
    for number, row in enumerate(result["benchmarks"], 1):
        for what, accepted in (("name", isinstance(row["name"], str)),
                               ("time_unit", row.get("time_unit", "ns") in list(NANOSECONDS))):
            if not accepted:
                raise Failed(f"{file} is JSON, but no result of Google Benchmark: row {number} "
                             f"has the {what} {row[what]!r:.40}")
    return result


def is_number(value):
    """One to calculate with."""
    return (isinstance(value, (int, float)) and not isinstance(value, bool) and
            abs(value) <= sys.float_info.max)


def metrics_of(row):
    """{metric: value} of one row, times in nanoseconds. `time` is that of one operation: of what
    the row counted per second where it did (on the wall clock, over all its threads), else
    real_time."""
    values = {name: float(value) for name, value in row.items()
              if is_number(value) and name not in NO_METRIC}
    for name in ("real_time", "cpu_time"):
        if name in values:
            values[name] *= NANOSECONDS.get(row.get("time_unit", "ns"), 1.0)
    if values.get("items_per_second", 0) > 0:
        values[DEFAULT] = 1e9 / values["items_per_second"]
    elif "real_time" in values:
        values[DEFAULT] = values["real_time"]
    return {name: value for name, value in values.items() if math.isfinite(value)}


def metrics_by_row(result):
    """{row's name: {metric: value}} of a whole file: one process, one value. Repetitions within it
    share its layout and count as one, by their median; what failed is left out."""
    repetitions = {}
    for row in result["benchmarks"]:
        if row.get("run_type", "iteration") == "iteration" and not row.get("error_occurred"):
            for metric, value in metrics_of(row).items():
                repetitions.setdefault(row["name"], {}).setdefault(metric, []).append(value)
    return {name: {metric: statistics.median(values) for metric, values in metrics.items()}
            for name, metrics in repetitions.items()}


def failures(result):
    """{row's name: why} of those that reported an error."""
    return {row["name"]: str(row.get("error_message") or "it does not say why")
            for row in result["benchmarks"] if row.get("error_occurred")}


def select(wanted, available):
    """The metrics among `available` that `wanted` names: each by its name, or a percentile by what
    is common to its names: p99 is also wait_p99_us."""
    found = []
    for name in wanted:
        pattern = re.compile(rf"(.+_)?{re.escape(name)}(_(ns|us|ms|s))?")
        matches = [name] if name in available else sorted(filter(pattern.fullmatch, available))
        if not matches:
            raise WrongUsage(f"no row has the metric '{name}'; there are: "
                             f"{', '.join(sorted(available))}")
        found += [match for match in matches if match not in found]
    return found


def short(row):
    """A row's name without what Google Benchmark says about its clock and its iterations."""
    return re.sub(r"/(real_time|manual_time|process_time|iterations:\d+)(?=/|$)", "", row)


def more_is_better(metric):
    return MORE_IS_BETTER.fullmatch(metric) is not None


def unit_of(metric):
    """A metric's unit in nanoseconds; None when it is no time."""
    if metric in (DEFAULT, "real_time", "cpu_time"):
        return 1.0
    unit = re.search(r"_(ns|us|ms)$", metric)
    return NANOSECONDS[unit[1]] if unit else None


def text_of(metric, value):
    """With three digits and a unit."""
    unit = unit_of(metric)
    if unit is None:
        return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"
    for name in ("ns", "us", "ms", "s"):
        scaled = value * unit / NANOSECONDS[name]
        if abs(scaled) < 999.5 or name == "s":
            return f"{scaled:#.3g}".rstrip(".") + f" {name}"
