// Many threads, few connections, and an end that everybody is told about.
#include <tidegate/tidegate.hpp>

#include <iostream>
#include <thread>
#include <vector>

int main() try {
  using namespace std::chrono_literals;
  tidegate::Pool pool{"pool_name=orders pool_max_conns=4 pool_acquire_timeout=2s"};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 16; ++i) {
    workers.emplace_back([&pool, i] {
      tidegate::Lease lease = pool.acquire(500ms);  // or AcquireTimeout, which says who holds them
      lease->exec("select pg_sleep(0.01), $1::int4", i);
    });  // the lease ends here: the connection goes to whoever has waited longest
  }
  workers.clear();
  std::cout << to_string(pool.close({.reason = "all done"})) << '\n';  // fence, drain, report
} catch (const tidegate::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
