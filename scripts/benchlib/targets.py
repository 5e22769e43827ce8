"""What must hold, as ratios of two rows of the same process."""

import dataclasses
import functools

AT_MOST, AT_LEAST = "<=", ">="


@dataclasses.dataclass(frozen=True)
class Target:
    claim: str
    row: str
    relation: str
    factor: float
    against: str
    # False: the ratio is of times per operation; True: of operations per second, or of the counter.
    of_rates: bool = True
    counter: str = "items_per_second"

    def needs(self):
        return self.row, self.against

    def ratio(self, rows):
        """None when one of the two rows was not run, or has failed."""
        try:
            own, other = (rows[name][self.counter] for name in (self.row, self.against))
        except KeyError:
            return None
        over, under = (own, other) if self.of_rates else (other, own)
        return over / under if under else None

    def holds(self, ratio):
        return ratio <= self.factor if self.relation == AT_MOST else ratio >= self.factor


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a row's counter must be at most, or at least, by itself."""
    claim: str
    row: str
    counter: str
    factor: float
    relation: str = AT_MOST

    def needs(self):
        return (self.row,)

    def ratio(self, rows):
        return rows.get(self.row, {}).get(self.counter)

    def holds(self, value):
        return value <= self.factor if self.relation == AT_MOST else value >= self.factor


@dataclasses.dataclass(frozen=True)
class Flat:
    """How far apart rows may be in a counter: the most in the least."""
    claim: str
    rows: tuple
    factor: float
    relation: str = AT_MOST
    counter: str = "items_per_second"

    def needs(self):
        return self.rows

    def ratio(self, rows):
        """None when one of them was not run."""
        values = [rows.get(name, {}).get(self.counter) for name in self.rows]
        return max(values) / min(values) if all(values) else None

    def holds(self, ratio):
        return ratio <= self.factor


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

    for kind, words in (("one", "a lease"), ("two", "two leases")):
        yield Flat(f"{words}, max_size 4 to 4096, few idle to all: slowest in fastest",
                   tuple(f"pool_size/core_{kind}/max:{size}/idle:{idle}/manual_time"
                         for size in (4, 64, 512, 4096)
                         for idle in dict.fromkeys((1 if kind == "one" else 2, size))), 1.15,
                   counter="in_smallest")
    for look in ("stats", "health"):
        yield Limit(f"{look}() of a pool of 1,000: microseconds", f"look/{look}/slots:1000/real_time",
                    "us", 50)
    yield from exhausted_targets()
    for peer in ("core", "pool"):
        for other, factor_in_step in (("mutex_vector", 1.2), ("plain", 1), ("soci", 1.2)):
            for in_flight in (1, 4, 16):
                row = f"in_flight:{in_flight}/real_time"
                yield Target(f"{peer}, acquired here, released there, {in_flight} in flight: "
                             f"throughput, in {other}", f"handover/{peer}/{row}", AT_LEAST,
                             factor_in_step, f"handover/{other}/{row}")
    for row, words in (("on", "an observer of everything"),
                       ("on_but_leases", "one that wants no leases")):
        yield Target(f"time with {words}, in that without", f"observer/{row}/real_time", AT_MOST,
                     1.05, "observer/off/real_time", of_rates=False)

    fence, last = (f"close/{row}/manual_time" for row in ("fence/iterations:5",
                                                          "last_release/iterations:200"))
    yield Limit("close, 64 idle: until nothing can be acquired, ms", fence, "fence_ms", 1)
    yield Limit("close, 1,000 waiters: until all are told, ms", fence, "told_ms", 10)
    yield Limit("last release until close returns, p99, ms", last, "p99_ms", 0.1)
    for row, what in (("stopped_server", "a statement on a stopped server"),
                      ("kept_lease", "a lease that is kept"), ("stuck_hook", "a stuck hook"),
                      ("black_hole", "a black-holed connect")):
        yield Limit(f"close with {what}: beyond its phases, ms",
                    f"close/over/{row}/iterations:5/manual_time", "over_ms", 50)
    yield Limit("close that waits for a lease: share of a core",
                "close/waiting/iterations:1/manual_time", "core_share", 0.01)


def exhausted(how, peer, hold_us, size=4):
    return f"exhausted_{how}/{peer}/max:{size}/hold_us:{hold_us}/iterations:1/real_time"


def exhausted_targets():
    """16 threads on 4 slots: throughput, tail and fairness at once."""
    for peer in ("core", "pool"):
        for other in ("mutex_vector", "soci"):
            yield Target(f"{peer}, 16 on 4, no hold: throughput, in {other}",
                         exhausted("none", peer, 0), AT_LEAST, 2, exhausted("none", other, 0))
        for hold in (30, 100, 500):
            row, other = (exhausted("sleep", name, hold) for name in (peer, "mutex_vector"))
            words = f"{peer}, 16 on 4, sleeping {hold} us"
            yield Target(f"{words}: throughput, in mutex_vector", row, AT_LEAST, 0.95, other)
            yield Target(f"{words}: p99 wait, in mutex_vector", row, AT_MOST, 1 / 8, other,
                         counter="wait_p99_us")
            yield Limit(f"{words}: longest wait, in its bound", row, "bounded", 1)
        row, other = (exhausted("busy", name, 50) for name in (peer, "mutex_vector"))
        words = f"{peer}, 16 on 4, busy 50 us"
        yield Target(f"{words}: throughput, in mutex_vector", row, AT_LEAST, 0.95, other)
        yield Target(f"{words}: p99.9 wait, in mutex_vector", row, AT_MOST, 1, other,
                     counter="wait_p999_us")
        yield Limit(f"{peer}, 16 on 4, sleeping 100 us: Jain's index",
                    exhausted("fair_sleep", peer, 100), "jain", 0.98, AT_LEAST)
        yield Limit(f"{peer}, 16 on 4, no hold: the least of a thread, in the mean",
                    exhausted("fair_none", peer, 0), "least", 0.25, AT_LEAST)
    yield Target("core, 16 on 4 of 4096, no hold: throughput, in mutex_vector",
                 exhausted("none", "core", 0, 4096), AT_LEAST, 2,
                 exhausted("none", "mutex_vector", 0))
    yield Target("core, 16 on 4 of 4096, sleeping 500 us: throughput, in mutex_vector",
                 exhausted("sleep", "core", 500, 4096), AT_LEAST, 0.95,
                 exhausted("sleep", "mutex_vector", 500))


def oversubscribed_targets():
    """As many clients as there are, on 8 connections, the server on the same cores."""
    for clients in (32, 128):
        for load, words in (("oversubscribed", "at full load"), ("open_loop", "at 0.7 of it")):
            pool, other = (f"{load}/{peer}/clients:{clients}{window}/iterations:1/real_time"
                           for peer, window in (("pool", "/window_us:50"), ("mutex_vector", "")))
            if load == "oversubscribed":
                yield Target(f"{clients} clients on 8: throughput, in mutex_vector", pool, AT_LEAST,
                             0.95, other)
            yield Target(f"{clients} clients on 8, {words}: p99 of a request, in mutex_vector",
                         pool, AT_MOST, 0.5, other, counter="p99_us")


def lane_targets():
    """Clients that share connections. 2 lanes: as many as this machine has cores."""
    def row(load, peer, clients, number, name="lanes"):
        return f"{load}/{peer}/clients:{clients}/{name}:{number}/iterations:1/real_time"

    by_hand, lanes, without = (
        functools.partial(row, "lanes", peer, number=number)
        for peer, number in (("mutex_vector", 0), ("pool", 2), ("pool", 0)))
    for clients, throughput, p99 in ((8, 1.1, None), (32, 1.7, 1 / 5), (128, 2, 1 / 8)):
        yield Target(f"{clients} clients on 8, 2 lanes: throughput, in mutex_vector",
                     lanes(clients), AT_LEAST, throughput, by_hand(clients))
        if p99:
            yield Target(f"{clients} clients on 8, 2 lanes: p99 of a request, in mutex_vector",
                         lanes(clients), AT_MOST, p99, by_hand(clients), counter="p99_us")
    yield Target("32 clients on 8, 2 lanes: throughput, in the pool without lanes", lanes(32),
                 AT_LEAST, 2.2, without(32))
    yield Target("32 clients on 8, 2 lanes, TCP: throughput, in mutex_vector",
                 row("lanes_tcp", "pool", 32, 2), AT_LEAST, 1.4,
                 row("lanes_tcp", "mutex_vector", 32, 0))
    yield Target("fast statements among 1 % slow ones: p99, in that without them",
                 row("lanes_mixed", "pool", 32, 1, "slow"), AT_MOST, 2,
                 row("lanes_mixed", "pool", 32, 0, "slow"), counter="p99_us")


def e2e():
    for threads in (1, 8):
        yield Target(f"prepared select, {threads} thread(s): throughput, in libpq by hand",
                     f"select/pool/real_time/threads:{threads}", AT_LEAST, 0.98,
                     f"select/raw/real_time/threads:{threads}")
        yield Target(f"prepared select with a QueryObserver, {threads} thread(s): throughput, in "
                     "that without one", f"select/observed/real_time/threads:{threads}", AT_LEAST,
                     0.98, f"select/pool/real_time/threads:{threads}")
    yield Target("batch of 128: throughput, in libpq's pipeline by hand",
                 "batch/pool/real_time", AT_LEAST, 0.95, "batch/raw/real_time")
    yield Target("batch of 128: throughput, in statements one by one",
                 "batch/pool/real_time", AT_LEAST, 4, "batch/one_by_one/real_time")
    for verb in ("copy_in", "copy_out"):
        yield Target(f"{verb} of 1 M rows: throughput, in libpq by hand",
                     f"{verb}/pool/real_time", AT_LEAST, 0.95, f"{verb}/raw/real_time")
    yield from oversubscribed_targets()
    yield from lane_targets()
    # Measured: below 100 KiB. Room for the kernel, which counts roughly, and far below the 28 MB
    # that pass.
    for verb in ("copy_in", "copy_out"):
        yield Limit(f"{verb} of 1 M rows: memory at its peak, KiB", f"{verb}/pool/real_time",
                    "peak_kib", 2048)
    deadlines = "deadlines/{}/iterations:1/real_time".format
    yield Target("deadlines of 10 ms through PgBouncer: throughput, in direct", deadlines("pgbouncer"),
                 AT_LEAST, 0.8, deadlines("direct"))
    for way in ("direct", "pgbouncer"):
        yield Limit(f"deadlines of 10 ms, {way}: cancels that struck others", deadlines(way),
                    "strays", 0)
    for size in (8, 16, 32, 64, 128, 512):
        row = f"large_send/mb:{size}/iterations:1/real_time"
        yield Limit(f"a statement with {size} MB: time, in libpq by hand", row, "pool_ratio", 1.1)
        yield Limit(f"a statement with {size} MB and a deadline: time, in libpq by hand", row,
                    "deadline_ratio", 1.1)
    yield Limit("8 connections as a floor: time, in that of warm_up()",
                "floor/conns:8/iterations:1/real_time", "ratio", 1.2)
    for dead in (1, 8, 16):
        yield Limit(f"{dead} connections that are silent: first answer, in ping timeouts",
                    f"silent/dead:{dead}/iterations:1/real_time", "ratio", 1.2)
    restart = "restart/pool/iterations:3/manual_time"
    yield Limit("server restarted under load: first answer, in the server's own recovery", restart,
                "in_recoveries", 1.5)
    # pool_max_connecting of them were under way together when the server went: one step.
    yield Limit("server restarted: failed connects beyond the backoff's steps", restart,
                "beyond_steps", 4)
    yield Limit("server restarted: connects before their backoff was over", restart, "early", 0)
    yield Limit("closed under load: requests neither answered nor told so",
                "close_under_load/pool/iterations:20/manual_time", "broken", 0)
    for row in ("core/max:16384", "core/max:1024", "pool/max:64"):
        yield Limit(f"bytes per slot, {row.replace('/max:', ' of ')}",
                    f"memory/{row}/iterations:1", "bytes_per_slot", 1024)
    yield Limit("bytes per gate", "memory/gates/iterations:1", "bytes_per_gate", 64)


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
    for own, crowd, factor in (("pool", "1_on_8", 1.2), ("pool", "8_on_8", 1.2),
                               ("lanes", "32_on_8", 1.7)):
        for other in (*(OTHERS if own == "lanes" else OTHERS[1:]), "pgbouncer"):
            how, words = ("select_tcp", " over TCP") if other == "hikaricp" else ("select", "")
            words = f"prepared select{words}, {crowd.replace('_', ' ')}"
            yield Target(f"{words}: throughput of {own}, in {other}",
                         f"{how}/{crowd}/{own}", AT_LEAST, factor, f"{how}/{crowd}/{other}")


MICRO = tuple(micro())
PEERS = tuple(peers())
E2E = tuple(e2e())
