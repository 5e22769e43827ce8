// The end-to-end suite: acquire, query, release against a real PostgreSQL, beside libpq by hand.
#include <tidegate/tidegate.hpp>

#include <cstdio>

#include "e2e/rows.hpp"
#include "support/program.hpp"

namespace {

void add_rows() {
  bench::add_select_rows();
  bench::add_batch_rows();
  bench::add_oversubscribed_rows();
  bench::add_lane_rows();
  bench::add_coroutine_rows();
  bench::add_memory_rows();
  bench::add_copy_rows();
  bench::add_large_rows();
  bench::add_spike_rows();
  bench::add_slow_connect_rows();
  bench::add_close_under_load_rows();
  bench::add_deadline_rows();
  bench::add_floor_rows();
  bench::add_restart_rows();  // last: what follows would meet new server processes
}

}  // namespace

int main(int argc, char** argv) try {
  tidegate::Pool("pool_max_conns=1").acquire(std::chrono::seconds(2));
  return bench::run_program(argc, argv, &add_rows);
} catch (const tidegate::Error& error) {
  std::fprintf(stderr, "needs the server that PGHOST, PGPORT, ... name: %s\n", error.what());
  return 1;
}
