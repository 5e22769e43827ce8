// usage: black-hole-calls CONNINFO
// Uses a pool while the network to its server becomes a black hole: prints "ready" when three
// connections are open, goes on at the first line of its input, by which nothing comes back any
// more, and prints what each call came to, a line each; the same at the second line, by which
// everything comes back again. For netns_test.py.
#include <chrono>
#include <future>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidegate/tidegate.hpp>

namespace {

using namespace std::chrono_literals;

// "ok", or the code of the error.
template <class F>
std::string outcome_of(F&& f) {
  try {
    std::forward<F>(f)();
    return "ok";
  } catch (const tidegate::Error& error) {
    return std::string(to_string(error.code()));
  }
}

template <class F>
void tell(std::string_view what, F&& f) {
  const auto began = std::chrono::steady_clock::now();
  const std::string outcome = std::forward<F>(f)();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  std::cout << what << ' ' << outcome << ' ' << took.count() << std::endl;
}

void await_line() {
  std::string line;
  std::getline(std::cin, line);
}

void while_nothing_comes_back(tidegate::Pool& pool, tidegate::Lease asked, tidegate::Lease stuck) {
  auto statement = std::async(std::launch::async, [lease = std::move(stuck)]() mutable {
    const std::string outcome = outcome_of([&] { lease->exec("select pg_sleep(3600)"); });
    lease.release();
    return outcome;
  });
  tell("leased", [&] { return outcome_of([&] { asked->exec({.by = 300ms}, "select 1"); }); });
  asked.release();
  // The idle one is found dead by its ping, and a new one cannot be opened.
  tell("idle", [&] { return outcome_of([&] { pool.acquire(4s); }); });
  tell("close", [&] {
    return std::string(
        to_string(pool.close({.drain = 100ms, .cancel = 200ms, .force = 300ms}).outcome));
  });
  tell("stuck", [&] { return statement.get(); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string conninfo = std::string(argv[1]) +
                               " pool_max_conns=3 pool_ping_after=1ms pool_ping_timeout=200ms"
                               " pool_connect_timeout=500ms";
  {
    tidegate::Pool pool(conninfo);
    std::vector<tidegate::Lease> leases;
    for (int i = 0; i < 3; ++i) leases.push_back(pool.acquire(30s));
    leases.pop_back();
    std::cout << "ready" << std::endl;
    await_line();
    while_nothing_comes_back(pool, std::move(leases[0]), std::move(leases[1]));
  }
  std::cout << "closed" << std::endl;
  await_line();
  tidegate::Pool pool(conninfo);
  tell("again", [&] { return outcome_of([&] { pool.acquire(30s)->exec("select 1"); }); });
  return 0;
}
