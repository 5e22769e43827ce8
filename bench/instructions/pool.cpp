// How many instructions does a warm acquire and release take, on real connections with the default
// configuration? (M4) Needs the server that PGHOST, PGPORT, ... name.
#include <tidegate/tidegate.hpp>

#include <vector>

#include "counting.hpp"
#include "pool/freeze_mark.hpp"

void tidegate_counted_cycles(void* pool, long n) {
  for (tidegate::Pool& warm = *static_cast<tidegate::Pool*>(pool); n > 0; --n) {
    tidegate::Lease lease = warm.acquire();
    asm volatile("" : : "r"(&*lease) : "memory");  // as far as a user goes before the first query
  }
}

int main(int argc, char** argv) try {
  bench::stay_on_one_core();
  tidegate::Pool pool{"pool_max_conns=4"};
  {
    std::vector<tidegate::Lease> all;
    for (int i = 0; i < 4; ++i) all.push_back(pool.acquire());
  }
  tidegate_counted_cycles(&pool, 1);  // docks one
  tidegate::detail::FreezeMark::stand_in();
  return bench::count_cycles("pool", pool, argc, argv);
} catch (const tidegate::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
