// Is COPY as fast as libpq's by hand, and does its memory stay flat? (E5)
//
// A million rows of an int8 and a text of 20 characters, 28 MB; peak_kib is what the process's
// memory grew by at its peak while they were copied: the most of all iterations.
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "support/peak_memory.hpp"

namespace bench {
namespace {

constexpr std::int64_t kRows = 1'000'000;
constexpr std::string_view kText = "twenty characters...";
constexpr const char* kCopyOut =
    "select i, 'twenty characters...' from generate_series(1, 1000000) i";

// Measures one iteration.
class Memory {
 public:
  explicit Memory(benchmark::State& state) : state_(state) {}
  ~Memory() {
    benchmark::Counter& most = state_.counters["peak_kib"];
    most = std::max(most.value, static_cast<double>(peak_.growth_kib()));
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

 private:
  benchmark::State& state_;
  PeakMemory peak_;
};

void require_rows(std::int64_t rows) {
  if (rows != kRows) throw std::runtime_error("rows were lost");
}

void copy_in_pool(benchmark::State& state) {
  tidegate::Pool pool{"pool_max_conns=1"};
  for (auto _ : state) {
    tidegate::Lease lease = pool.acquire();
    lease->exec("create temp table copied (i int8, t text)");
    const Memory memory(state);
    require_rows(static_cast<std::int64_t>(lease->copy_in(
        {.table = "copied", .columns = {"i", "t"}},
        std::views::iota(std::int64_t{0}, kRows) |
            std::views::transform([](std::int64_t i) { return std::tuple(i, kText); }))));
    lease->exec("drop table copied");
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

void copy_in_raw(benchmark::State& state) {
  const RawConnection owner = raw_connect();
  PGconn* const connection = owner.get();
  for (auto _ : state) {
    raw_exec(connection, "create temp table copied (i int8, t text)");
    const Memory memory(state);
    require(RawResult(PQexec(connection, "copy copied from stdin")).get(), PGRES_COPY_IN);
    std::string line;
    for (std::int64_t i = 0; i < kRows; ++i) {
      line = std::to_string(i);
      line.append(1, '\t').append(kText).append(1, '\n');
      if (PQputCopyData(connection, line.data(), static_cast<int>(line.size())) != 1) {
        throw std::runtime_error(PQerrorMessage(connection));
      }
    }
    PQputCopyEnd(connection, nullptr);
    require(RawResult(PQgetResult(connection)).get(), PGRES_COMMAND_OK);
    RawResult(PQgetResult(connection));
    raw_exec(connection, "drop table copied");
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

void copy_out_pool(benchmark::State& state) {
  tidegate::Pool pool{"pool_max_conns=1"};
  for (auto _ : state) {
    const Memory memory(state);
    std::int64_t rows = 0;
    pool.copy_out(kCopyOut, [&rows](const auto& row) {
      benchmark::DoNotOptimize(row.template get<std::int64_t>(0));
      benchmark::DoNotOptimize(row.template get<std::string_view>(1));
      ++rows;
    });
    require_rows(rows);
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

void copy_out_raw(benchmark::State& state) {
  const RawConnection owner = raw_connect();
  PGconn* const connection = owner.get();
  const std::string statement = std::string("copy (") + kCopyOut + ") to stdout";
  for (auto _ : state) {
    const Memory memory(state);
    require(RawResult(PQexec(connection, statement.c_str())).get(), PGRES_COPY_OUT);
    std::int64_t rows = 0;
    char* line = nullptr;
    for (int size = 0; (size = PQgetCopyData(connection, &line, 0)) > 0; ++rows) {
      std::int64_t number = 0;
      const char* const tab = std::from_chars(line, line + size, number).ptr;
      benchmark::DoNotOptimize(number);
      benchmark::DoNotOptimize(std::string_view(tab + 1, line + size - 1));
      PQfreemem(line);
    }
    require(RawResult(PQgetResult(connection)).get(), PGRES_COMMAND_OK);
    RawResult(PQgetResult(connection));
    require_rows(rows);
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}

}  // namespace

void add_copy_rows() {
  for (const auto& [name, row] :
       {std::pair{"copy_in/pool", &copy_in_pool}, std::pair{"copy_in/raw", &copy_in_raw},
        std::pair{"copy_out/pool", &copy_out_pool}, std::pair{"copy_out/raw", &copy_out_raw}}) {
    benchmark::RegisterBenchmark(name, row)->UseRealTime()->Unit(benchmark::kMillisecond);
  }
}

}  // namespace bench
