// How many instructions does a warm acquire and release take, without a connection? (M4)
#include <tidegate/core/resource_pool.hpp>

#include "counting.hpp"

namespace {

using Pool = tidegate::core::ResourcePool<long>;

}  // namespace

void tidegate_counted_cycles(void* pool, long n) {
  for (Pool& warm = *static_cast<Pool*>(pool); n > 0; --n) {
    auto acquired = warm.acquire();
    if (!acquired) std::abort();
    ++*acquired.lease;
  }
}

int main(int argc, char** argv) {
  bench::stay_on_one_core();
  Pool pool({.create = [](const std::stop_token&, tidegate::Deadline) -> tidegate::Expected<long> {
               return 0;
             },
             .max_size = 4});
  for (int i = 0; i < 4; ++i) pool.create_resource();
  tidegate_counted_cycles(&pool, 1);  // docks one
  return bench::count_cycles("core", pool, argc, argv);
}
