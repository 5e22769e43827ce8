"""Benchmark runs that were never run: numbers drawn from a seed, in Google Benchmark's format."""

import json
import random

CONTEXT = {"num_cpus": 2, "library_build_type": "release", "tidegate_build_type": "Release",
           "tidegate_compiler": "GNU 12.2.0", "tidegate_flags": "-O3 -DNDEBUG",
           "tidegate_machine": "x86_64, some processor", "tidegate_cores": "2",
           "tidegate_kernel": "6.1"}
SPREAD = 0.04  # of samples, as shares of what they measure
ROWS = {f"acquire_release/core/pool:{pool}/real_time/threads:{threads}": 10.0 * threads
        for pool in (4, 8, 64) for threads in (1, 16)}
EXHAUSTED = "exhausted_sleep/core/max:4/hold_us:500/iterations:1/real_time"


def row(name, nanoseconds, **counters):
    return {"name": name, "run_name": name, "run_type": "iteration", "repetitions": 1,
            "repetition_index": 0, "threads": 1, "iterations": 1000, "real_time": nanoseconds,
            "cpu_time": nanoseconds, "time_unit": "ns", **counters}


def sample(draw, rows=ROWS, slower=1.0, context=None, spread=SPREAD):
    """One result file: `rows` with `slower` times as much time."""
    def noise():
        return draw.gauss(1, spread)

    waits = {"wait_p50_us": 1500, "wait_p99_us": 2300, "wait_p999_us": 4000, "wait_max_us": 9000}
    return {"context": {**CONTEXT, **(context or {})}, "benchmarks": [
        *(row(name, value * slower * noise()) for name, value in rows.items()),
        row(EXHAUSTED, 1e9, items_per_second=7000 * noise(),
            **{name: value * slower * noise() for name, value in waits.items()})]}


def write_run(folder, seed, samples=12, meta=None, **how):
    """A run in `folder`, as scripts/bench run leaves one."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    for number in range(1, samples + 1):
        (folder / f"run-{number:03}.json").write_text(json.dumps(sample(draw, **how)))
    (folder / "meta.json").write_text(json.dumps({"name": folder.name, "complete": True,
                                                  **(meta or {})}))
