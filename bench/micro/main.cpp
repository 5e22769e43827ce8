// The micro suite: what the pool itself costs, without a query.
#include <cstdio>

#include "micro/rows.hpp"
#include "support/peers.hpp"
#include "support/program.hpp"
#include "support/stage.hpp"

namespace {

template <class P>
void name_if_missing() {
  if (const auto why = P::missing()) {
    std::fprintf(stderr, "skipped: %s: %s\n", P::kName, why->c_str());
  }
}

void add_rows() {
  name_if_missing<bench::PoolPeer>();
#if !defined(TIDEGATE_BENCH_SOCI)
  std::fprintf(stderr, "skipped: soci: not installed when this was built (libsoci-dev)\n");
#endif
  bench::add_acquire_release_rows();
  bench::add_pool_size_rows();
  bench::add_handover_rows();
  bench::add_exhausted_rows();
  bench::add_observer_rows();
  bench::add_look_rows();
  bench::add_close_rows();
  bench::add_close_bounds_rows();
}

}  // namespace

int main(int argc, char** argv) {
  const int status = bench::run_program(argc, argv, &add_rows);
  bench::Stage::clear();
  return status;
}
