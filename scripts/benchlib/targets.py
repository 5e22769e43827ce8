"""What must hold, as ratios of two rows of the same process."""

import dataclasses
import statistics

AT_MOST, AT_LEAST = "<=", ">="


@dataclasses.dataclass(frozen=True)
class Target:
    claim: str
    row: str
    relation: str
    factor: float
    against: str
    # False: the ratio is of times per operation; True: of operations per second.
    of_rates: bool = True

    def ratio(self, rows):
        """None when one of the two rows was not run, or has failed."""
        try:
            rate, other = (rows[name]["items_per_second"] for name in (self.row, self.against))
        except KeyError:
            return None
        return rate / other if self.of_rates else other / rate

    def holds(self, ratio):
        return ratio <= self.factor if self.relation == AT_MOST else ratio >= self.factor


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a row's counter may be at most, by itself."""
    claim: str
    row: str
    counter: str
    factor: float
    relation: str = AT_MOST

    def ratio(self, rows):
        return rows.get(self.row, {}).get(self.counter)

    def holds(self, value):
        return value <= self.factor


def lease(peer, threads, pool=None):
    size = "" if pool is None else f"/pool:{pool}"
    return f"acquire_release/{peer}{size}/real_time/threads:{threads}"


def micro():
    for peer, factor in (("core", 2.2), ("pool", 2.6)):
        for pool in (4, 8, 64):
            yield Target(f"{peer} of {pool}, 1 thread: time, in two uncontended RMW",
                         lease(peer, 1, pool), AT_MOST, factor, lease("two_rmw", 1), of_rates=False)
        for pool in (4, 8, 64):
            yield Target(f"{peer} of {pool}: throughput, 2 threads in 1 thread",
                         lease(peer, 2, pool), AT_LEAST, 1.7, lease(peer, 1, pool))
        for pool in (4, 8):
            for other, factor_16 in (("mutex_vector", 6), ("soci", 12)):
                yield Target(f"{peer} of {pool}, 16 threads: throughput, in {other}",
                             lease(peer, 16, pool), AT_LEAST, factor_16, lease(other, 16, pool))


    fence, last = (f"close/{row}/manual_time" for row in ("fence/iterations:5",
                                                          "last_release/iterations:200"))
    yield Limit("close, 64 idle: until nothing can be acquired, ms", fence, "fence_ms", 1)
    yield Limit("close, 1,000 waiters: until all are told, ms", fence, "told_ms", 10)
    yield Limit("last release until close returns, p99, ms", last, "p99_ms", 0.1)
    yield Limit("close that waits for a lease: share of a core",
                "close/waiting/iterations:1/manual_time", "core_share", 0.01)


def e2e():
    for threads in (1, 8):
        yield Target(f"prepared select, {threads} thread(s): throughput, in libpq by hand",
                     f"select/pool/real_time/threads:{threads}", AT_LEAST, 0.98,
                     f"select/raw/real_time/threads:{threads}")
    yield Target("batch of 128: throughput, in libpq's pipeline by hand",
                 "batch/pool/real_time", AT_LEAST, 0.95, "batch/raw/real_time")
    yield Target("batch of 128: throughput, in statements one by one",
                 "batch/pool/real_time", AT_LEAST, 4, "batch/one_by_one/real_time")
    for verb in ("copy_in", "copy_out"):
        yield Target(f"{verb} of 1 M rows: throughput, in libpq by hand",
                     f"{verb}/pool/real_time", AT_LEAST, 0.95, f"{verb}/raw/real_time")


OTHERS = ("mutex_vector", "soci", "poco", "apr_reslist", "libpqxx", "hikaricp", "node_postgres")


def peers():
    """Rows of `bench peers`: `mutex_vector` is what people write, and no peer."""
    for own in ("core", "pool"):
        for other in OTHERS:
            yield Target(f"{own}, 1 thread: throughput, in {other}",
                         f"lease/1_on_4/{own}", AT_LEAST, 1 / 0.75 if other == "mutex_vector" else 1,
                         f"lease/1_on_4/{other}")
        yield Target(f"{own}, 2 threads: throughput, in soci",
                     f"lease/2_on_4/{own}", AT_LEAST, 8, "lease/2_on_4/soci")
        for crowd in ("16_on_8", "16_on_4"):
            for other, factor in (("soci", 12), ("mutex_vector", 6), ("hikaricp", 4)):
                yield Target(f"{own}, {crowd.replace('_', ' ')}: throughput, in {other}",
                             f"lease/{crowd}/{own}", AT_LEAST, factor, f"lease/{crowd}/{other}")
        for other in OTHERS[:-1]:
            yield Target(f"{own}, acquired here, released there: throughput, in {other}",
                         f"handover/{own}", AT_LEAST, 1, f"handover/{other}")
    for crowd in ("1_on_8", "8_on_8"):
        for other in (*OTHERS[1:], "pgbouncer"):
            yield Target(f"prepared select, {crowd.replace('_', ' ')}: throughput, in {other}",
                         f"select/{crowd}/pool", AT_LEAST, 1.2, f"select/{crowd}/{other}")


MICRO = tuple(micro())
PEERS = tuple(peers())
E2E = tuple(e2e())


def report(targets, runs):
    """Prints the table; true when no target was missed. `runs`: of each sample {row's name: row}."""
    width = max(len(target.claim) for target in targets)
    print(f"\n{'':{width}}  target   median  lowest .. highest    n")
    missed = not_run = 0
    for target in targets:
        ratios = [ratio for ratio in map(target.ratio, runs) if ratio is not None]
        if not ratios:
            not_run += 1
            continue
        median = statistics.median(ratios)
        holds = target.holds(median)
        missed += not holds
        print(f"{target.claim:{width}}  {target.relation} {target.factor:4.2f}  {median:7.2f}"
              f"  {min(ratios):6.2f} .. {max(ratios):6.2f}  {len(ratios):3}"
              f"  {'PASS' if holds else 'MISS'}")
    judged = len(targets) - not_run
    print(f"\n{judged - missed} of {judged} targets met" +
          (f", {not_run} not judged (rows not run)" if not_run else ""))
    return missed == 0
