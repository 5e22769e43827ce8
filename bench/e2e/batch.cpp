// Is a batch as fast as libpq's pipeline by hand, and how much faster than one by one? (E3)
//
// `raw` drops each result before it reads the next; `raw_kept` has all of them at once, as run()
// does.
#include <tidegate/tidegate.hpp>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"

namespace bench {
namespace {

constexpr int kStatements = 128;

void batch_pool(benchmark::State& state) {
  tidegate::Pool pool{"pool_max_conns=1"};
  const auto run = [&pool] {
    tidegate::Batch batch;
    for (int i = 0; i < kStatements; ++i) batch.add("select $1::int4", i);
    return pool.run(batch);
  };
  run().raise();  // connected and prepared, as by hand
  for (auto _ : state) {
    const tidegate::BatchResults results = run();
    for (int i = 0; i < kStatements; ++i) {
      benchmark::DoNotOptimize(results[static_cast<std::size_t>(i)][0].get<int>(0));
    }
  }
  state.SetItemsProcessed(state.iterations() * kStatements);
}

// `kept`: as run() has it, all results are there until the last one was read.
void batch_by_hand(benchmark::State& state, bool kept) {
  const RawConnection owner = raw_connect_and_prepare();
  PGconn* const connection = owner.get();
  PQenterPipelineMode(connection);
  std::vector<RawResult> results;
  const auto read = [](const RawResult& result) {
    require(result.get(), PGRES_TUPLES_OK);
    benchmark::DoNotOptimize(std::strtol(PQgetvalue(result.get(), 0, 0), nullptr, 10));
  };
  for (auto _ : state) {
    for (int i = 0; i < kStatements; ++i) {
      const std::string text = std::to_string(i);
      const char* values[] = {text.c_str()};
      PQsendQueryPrepared(connection, "one", 1, values, nullptr, nullptr, 0);
    }
    PQpipelineSync(connection);
    for (int i = 0; i < kStatements; ++i) {
      RawResult result(PQgetResult(connection));
      if (kept) {
        results.push_back(std::move(result));
      } else {
        read(result);
      }
      RawResult(PQgetResult(connection));  // the end of the statement
    }
    require(RawResult(PQgetResult(connection)).get(), PGRES_PIPELINE_SYNC);
    for (const RawResult& result : results) read(result);
    results.clear();
  }
  state.SetItemsProcessed(state.iterations() * kStatements);
}

void batch_raw(benchmark::State& state) { batch_by_hand(state, false); }
void batch_raw_kept(benchmark::State& state) { batch_by_hand(state, true); }

void batch_one_by_one(benchmark::State& state) {
  tidegate::Pool pool{"pool_max_conns=1"};
  pool.query_value<int>("select $1::int4", 0);
  for (auto _ : state) {
    for (int i = 0; i < kStatements; ++i) {
      benchmark::DoNotOptimize(pool.query_value<int>("select $1::int4", i));
    }
  }
  state.SetItemsProcessed(state.iterations() * kStatements);
}

}  // namespace

void add_batch_rows() {
  benchmark::RegisterBenchmark("batch/pool", &batch_pool)->UseRealTime();
  benchmark::RegisterBenchmark("batch/raw", &batch_raw)->UseRealTime();
  benchmark::RegisterBenchmark("batch/raw_kept", &batch_raw_kept)->UseRealTime();
  benchmark::RegisterBenchmark("batch/one_by_one", &batch_one_by_one)->UseRealTime();
}

}  // namespace bench
