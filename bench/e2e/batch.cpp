// Is a batch as fast as libpq's pipeline by hand, and how much faster than one by one? (E3)
//
// `raw` drops each result before it reads the next; `raw_kept` has all of them at once, as run()
// does. `batch_tcp`: not through the Unix socket.
#include <tidegate/tidegate.hpp>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "e2e/rows.hpp"
#include "e2e/tcp.hpp"

namespace bench {
namespace {

constexpr int kStatements = 128;

void batch_pool(benchmark::State& state, const std::string& conninfo) {
  tidegate::Pool pool{"pool_max_conns=1 " + conninfo};
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
void batch_by_hand(benchmark::State& state, const std::string& conninfo, bool kept) {
  const RawConnection owner = raw_connect_and_prepare(conninfo);
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

void batch_one_by_one(benchmark::State& state, const std::string& conninfo) {
  tidegate::Pool pool{"pool_max_conns=1 " + conninfo};
  pool.query_value<int>("select $1::int4", 0);
  for (auto _ : state) {
    for (int i = 0; i < kStatements; ++i) {
      benchmark::DoNotOptimize(pool.query_value<int>("select $1::int4", i));
    }
  }
  state.SetItemsProcessed(state.iterations() * kStatements);
}

void add(const std::string& suite, const std::string& conninfo) {
  const auto row = [&suite](const char* name, auto body) {
    benchmark::RegisterBenchmark((suite + name).c_str(), body)->UseRealTime();
  };
  using benchmark::State;
  row("/pool", [conninfo](State& state) { batch_pool(state, conninfo); });
  row("/raw", [conninfo](State& state) { batch_by_hand(state, conninfo, false); });
  row("/raw_kept", [conninfo](State& state) { batch_by_hand(state, conninfo, true); });
  row("/one_by_one", [conninfo](State& state) { batch_one_by_one(state, conninfo); });
}

}  // namespace

void add_batch_rows() {
  add("batch", {});
  if (!tcp_conninfo().empty()) add("batch_tcp", tcp_conninfo());
}

}  // namespace bench
