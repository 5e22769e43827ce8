// Does close end in time when something never answers? (M10: the sum of its phases + 50 ms)
//
// `over_ms` is by how much the slowest close went beyond drain + cancel + force; 0: none did.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <latch>
#include <string>
#include <thread>
#include <utility>

#include <netinet/in.h>

#include <benchmark/benchmark.h>

#include <tidegate/tidegate.hpp>

#include "micro/rows.hpp"
#include "support/pool_peer.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;

const tidegate::CloseOptions kPhases{.drain = 100ms, .cancel = 100ms, .force = 100ms};

// On a thread of its own: the caller may hold the lease that is waited for.
void close_and_note(benchmark::State& state, tidegate::Pool& pool) {
  const auto began = std::chrono::steady_clock::now();
  std::thread closer([&] { pool.close(kPhases); });
  closer.join();
  const auto took = std::chrono::steady_clock::now() - began;
  const auto over = took - (*kPhases.drain + *kPhases.cancel + *kPhases.force);
  auto& slowest = state.counters["over_ms"];
  const double over_ms = std::chrono::duration<double, std::milli>(over).count();
  slowest = std::max<double>(slowest, over_ms);
  state.SetIterationTime(std::chrono::duration<double>(took).count());
}

// A statement on a server process that is stopped: no cancel helps, only force ends the lease.
void stopped_server(benchmark::State& state) {
  for (auto _ : state) {
    tidegate::Pool pool{"pool_max_conns=1"};
    tidegate::Lease lease = pool.acquire();
    const pid_t backend = lease->backend_pid();
    ::kill(backend, SIGSTOP);
    std::thread user([&] {
      try {
        lease->exec("select 1");
      } catch (const tidegate::Error&) {
        // Forced, as it should be.
      }
      lease.release();
    });
    close_and_note(state, pool);
    user.join();
    ::kill(backend, SIGCONT);
  }
}

// A lease whose holder does nothing at all with it, and does not give it back.
void kept_lease(benchmark::State& state) {
  for (auto _ : state) {
    tidegate::Pool pool{"pool_max_conns=1"};
    const tidegate::Lease lease = pool.acquire();
    close_and_note(state, pool);
  }
}

// A hook that does not return while the pool closes.
void stuck_hook(benchmark::State& state) {
  for (auto _ : state) {
    std::latch closed(1);
    std::latch ended(1);
    auto config = tidegate::PoolConfig::parse("pool_max_conns=1");
    config.hooks.before_close = [&](tidegate::Connection&) {
      closed.wait();
      ended.count_down();
    };
    tidegate::Pool pool{std::move(config)};
    pool.acquire().release();
    close_and_note(state, pool);
    closed.count_down();
    ended.wait();
  }
}

// Somebody waits for a connect to a host that takes connections and never says a word.
void black_hole(benchmark::State& state) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 16) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    state.SkipWithError("no port to listen on");
    return;
  }
  for (auto _ : state) {
    tidegate::Pool pool{"host=127.0.0.1 port=" + std::to_string(ntohs(address.sin_port)) +
                        " connect_timeout=60 pool_max_conns=1"};
    std::thread waiter([&] {
      [[maybe_unused]] const auto refused = pool.try_acquire(tidegate::Deadline::never());
    });
    while (pool.stats().waiting == 0) std::this_thread::yield();
    close_and_note(state, pool);
    waiter.join();
  }
  ::close(listener);
}

}  // namespace

void add_close_bounds_rows() {
  if (PoolPeer::missing()) return;
  const std::pair<const char*, void (*)(benchmark::State&)> rows[] = {
      {"close/over/stopped_server", stopped_server},
      {"close/over/kept_lease", kept_lease},
      {"close/over/stuck_hook", stuck_hook},
      {"close/over/black_hole", black_hole}};
  for (const auto& [name, row] : rows) {
    benchmark::RegisterBenchmark(name, row)->Iterations(5)->UseManualTime();
  }
}

}  // namespace bench
