"""What is published as a curve, beside the targets: throughput and p99 over barge_window (E4) and
over the number of lanes (E8), and throughput over the number of gates. Of a run's samples the
medians."""

import statistics

WINDOWS = (0, 50, 200, 1000)  # microseconds
CLIENTS = (32, 128)
FULL, OPEN = "oversubscribed", "open_loop"
LANES = (0, 1, 2, 4, 8)
LANE_CLIENTS = (8, 32, 128)
GATES = (1, 2, 4, 8)
THREADS = (1, 2, 4, 16)


def median(samples, row, metric):
    """None when no sample has it."""
    values = [sample[row][metric] for sample in samples if metric in sample.get(row, {})]
    return statistics.median(values) if values else None


def request(samples, load, contender, clients, metric):
    """`contender`: a window, or "mutex_vector"."""
    peer, window = (contender, "") if contender == "mutex_vector" else (
        "pool", f"/window_us:{contender}")
    return median(samples, f"{load}/{peer}/clients:{clients}{window}/iterations:1/real_time",
                  metric)


def words_of(contender):
    return "mutex_vector" if contender == "mutex_vector" else f"{contender} us"


def table(headings, lines, caption):
    """Markdown, or None where there is no figure at all: then what a page has stays as it is."""
    if not any(cell for _, *cells in lines for cell in cells):
        return None
    rows = [headings, *([name, *(cell or "-" for cell in cells)] for name, *cells in lines)]
    drawn = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([drawn[0], "|---|" + "---:|" * (len(headings) - 1), *drawn[1:], "", caption])


def barge_window(samples, caption):
    """Throughput and p99 of a request at full load, and p99 at 0.7 of it."""
    def cells(contender, clients):
        rate = request(samples, FULL, contender, clients, "items_per_second")
        yield rate and f"{rate / 1e3:.1f} k/s"
        for load in (FULL, OPEN):
            p99 = request(samples, load, contender, clients, "p99_us")
            yield p99 and f"{p99 / 1e3:.2f} ms"

    headings = ["window", *(words for clients in CLIENTS for words in (
        f"{clients} clients on 8", "p99", "p99 at 0.7 of it"))]
    lines = [(words_of(contender), *(cell for clients in CLIENTS for cell in cells(contender, clients)))
             for contender in ("mutex_vector", *WINDOWS)]
    return table(headings, lines, caption)


def shared(samples, lanes, clients, metric):
    """`lanes`: how many, or "mutex_vector"."""
    peer, count = (lanes, 0) if lanes == "mutex_vector" else ("pool", lanes)
    return median(samples, f"lanes/{peer}/clients:{clients}/lanes:{count}/iterations:1/real_time",
                  metric)


def lanes(samples, caption):
    """Throughput and p99 of a prepared select, 8 connections in all."""
    def cells(contender):
        for clients in LANE_CLIENTS:
            rate = shared(samples, contender, clients, "items_per_second")
            p99 = shared(samples, contender, clients, "p99_us")
            yield rate and f"{rate / 1e3:.1f} k/s"
            yield p99 and f"{p99 / 1e3:.2f} ms"

    headings = ["", *(words for clients in LANE_CLIENTS
                      for words in (f"{clients} clients on 8", "p99"))]
    names = {"mutex_vector": "mutex_vector", 0: "pool, no lanes", 1: "1 lane"}
    lines = [(names.get(contender, f"{contender} lanes"), *cells(contender))
             for contender in ("mutex_vector", *LANES)]
    return table(headings, lines, caption)


def gates(samples, caption):
    """Leases per second of a core of 64, and what no pool with, or without, a word for all can go
    below."""
    def line(words, peer):
        rates = (median(samples, f"acquire_release/{peer}/real_time/threads:{threads}",
                        "items_per_second") for threads in THREADS)
        return (words, *(rate and f"{rate / 1e6:.0f} M/s" for rate in rates))

    headings = ["", *("1 thread" if threads == 1 else f"{threads} threads" for threads in THREADS)]
    lines = [line("1 gate" if count == 1 else f"{count} gates", f"core_gates:{count}")
             for count in GATES]
    lines += [line("two RMW on one word for all", "two_rmw_shared"),
              line("two RMW on a word of each thread", "two_rmw")]
    return table(headings, lines, caption)


# By suite: {the table's name in a page: what makes it}.
TABLES = {"micro": {"gates": gates}, "e2e": {"barge_window": barge_window, "lanes": lanes}}
