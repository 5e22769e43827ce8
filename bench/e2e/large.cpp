// Does a large value cost what libpq's blocking call for it does, in time and in memory?
//
// Time: `pool_ratio` and `deadline_ratio` are a statement with one bytea through a lease, without
// and with a deadline, over PQexecParams on the same connection; each the fastest of its turns, as
// what disturbs one only adds. Memory: what the process grew by at its peak, in multiples of the
// value: sent, received, and both, each on a connection of its own, since libpq's buffers never
// shrink. TIDEGATE_BENCH_LARGE adds 512 MB.
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "support/peak_memory.hpp"

namespace bench {
namespace {

using Bytes = std::vector<std::byte>;

constexpr unsigned kBytea = 17;
constexpr const char* kSend = "select length($1::bytea)";
constexpr const char* kEcho = "select $1::bytea";
constexpr const char* kReceive = "select convert_to(repeat('x', $1::int4), 'SQL_ASCII')";

std::size_t size_of(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0)) << 20U;
}

RawResult raw_run(PGconn* connection, const char* statement, const char* value, std::size_t size,
                  bool bytes) {
  const std::array values{value};
  const std::array lengths{static_cast<int>(size)};
  const std::array formats{bytes ? 1 : 0};
  const std::array<Oid, 1> types{bytes ? kBytea : 0U};
  RawResult result(PQexecParams(connection, statement, 1, types.data(), values.data(),
                                lengths.data(), formats.data(), 1));
  require(result.get(), PGRES_TUPLES_OK);
  return result;
}
RawResult raw_run(PGconn* connection, const char* statement, const Bytes& bytes) {
  return raw_run(connection, statement, reinterpret_cast<const char*>(bytes.data()), bytes.size(),
                 true);
}

void require_size(std::size_t size, const Bytes& bytes) {
  if (size != bytes.size()) throw std::runtime_error("bytes were lost");
}

double milliseconds(const std::function<void()>& act) {
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void large_send(benchmark::State& state) {
  const Bytes bytes(size_of(state), std::byte{'x'});
  tidegate::Pool pool{"pool_max_conns=1"};
  tidegate::Lease lease = pool.acquire();
  const auto raw = [&] { raw_run(lease->native_handle(), kSend, bytes); };
  // Without a name, as PQexecParams: a plan that is kept spares the server a copy.
  const auto run = [&](const tidegate::ExecOptions& options) {
    require_size(lease->query_value<std::size_t>(options, kSend, bytes), bytes);
  };
  const auto by_pool = [&] { run({.prepared = false}); };
  const auto with_deadline = [&] { run({.by = std::chrono::minutes(10), .prepared = false}); };
  raw();
  by_pool();
  for (auto _ : state) {
    std::array<double, 3> took;
    took.fill(std::numeric_limits<double>::max());
    const std::array<std::function<void()>, 3> acts{raw, by_pool, with_deadline};
    const std::size_t rounds =
        std::clamp<std::size_t>((std::size_t{256} << 20U) / bytes.size(), 3, 60);
    for (std::size_t i = 0; i < 3 * rounds; ++i) {
      const std::size_t which = (i + i / 3) % 3;  // each is first, second and last in its turn
      took[which] = std::min(took[which], milliseconds(acts[which]));
    }
    state.counters["raw_ms"] = took[0];
    state.counters["pool_ratio"] = took[1] / took[0];
    state.counters["deadline_ratio"] = took[2] / took[0];
  }
}

void large_memory(benchmark::State& state) {
  const Bytes bytes(size_of(state), std::byte{'x'});
  const std::string length = std::to_string(bytes.size());
  const auto raw = [&](bool send, bool receive) {
    const RawConnection owner = raw_connect();
    PGconn* const connection = owner.get();
    const PeakMemory peak;
    const RawResult result =
        send ? raw_run(connection, receive ? kEcho : kSend, bytes)
             : raw_run(connection, kReceive, length.c_str(), length.size(), false);
    return static_cast<double>(peak.growth_kib()) * 1024 / static_cast<double>(bytes.size());
  };
  const auto by_pool = [&](bool send, bool receive) {
    tidegate::Pool pool{"pool_max_conns=1"};
    const tidegate::Lease lease = pool.acquire();
    const PeakMemory peak;
    const tidegate::Rows rows = send ? lease->exec(receive ? kEcho : kSend, bytes)
                                     : lease->exec(kReceive, static_cast<int>(bytes.size()));
    return static_cast<double>(peak.growth_kib()) * 1024 / static_cast<double>(bytes.size());
  };
  for (auto _ : state) {
    state.counters["raw_sent"] = raw(true, false);
    state.counters["pool_sent"] = by_pool(true, false);
    state.counters["raw_received"] = raw(false, true);
    state.counters["pool_received"] = by_pool(false, true);
    state.counters["raw_both"] = raw(true, true);
    state.counters["pool_both"] = by_pool(true, true);
  }
}

}  // namespace

void add_large_rows() {
  auto* const send = benchmark::RegisterBenchmark("large_send", &large_send);
  send->ArgName("mb")->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int mb : {1, 8, 16, 32, 64, 128}) send->Arg(mb);
  if (std::getenv("TIDEGATE_BENCH_LARGE") != nullptr) send->Arg(512);
  benchmark::RegisterBenchmark("large_memory", &large_memory)
      ->ArgName("mb")
      ->Arg(200)
      ->Iterations(1)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace bench
