#include "options.hpp"

#include <CLI/CLI.hpp>

namespace service {

std::optional<Options> parse(int argc, char** argv, int& status) {
  Options options;
  bool naive = false;
  bool stuck = false;
  CLI::App app{"An HTTP order service on a tidegate pool, under load, with a graceful end."};
  auto* seconds = app.add_option("--seconds", options.seconds, "how long (10)");
  auto* threads = app.add_option("--threads", options.threads, "worker threads, and clients (16)");
  auto* pool = app.add_option("--pool", options.pool, "connections (4)");
  seconds->check(CLI::Range(1, 999'999));
  threads->check(CLI::Range(1, 4096));
  pool->check(CLI::Range(1, 65'535));
  app.add_option("--conninfo", options.conninfo, "server; default: PG* environment");
  auto* close_first = app.add_flag("--naive", naive, "close the pool first: what goes wrong then");
  auto* coroutines = app.add_flag("--async", options.coroutines,
                                  "coroutines on one thread serve, instead of threads");
  auto* inspect =
      app.add_flag("--inspect", options.inspect,
                   "a live page that shows the pool, on a port of 127.0.0.1 of its own");
  app.add_flag("--stuck", stuck, "leases that do not come back; ends by itself")
      ->excludes(close_first)
      ->excludes(coroutines)
      ->excludes(inspect)
      ->excludes(seconds)
      ->excludes(threads)
      ->excludes(pool);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    status = app.exit(error) == 0 ? 0 : 2;
    return {};
  }
  using Mode = Options::Mode;
  options.mode = naive ? Mode::naive : stuck ? Mode::stuck : Mode::in_order;
  return options;
}

}  // namespace service
