// What every pooler is tried with.
#pragma once

#include <tidegate/tidegate.hpp>

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace tidegate::test {

// Transactions with savepoints, a batch, COPY in both directions and rows one by one, values
// counted.
inline void expect_all_passes_through(Pool& pool) {
  pool.exec_script("drop table if exists tally; create table tally (n int)");
  pool.transact([](Transaction& transaction) {
    transaction.exec("insert into tally values (1)");
    Transaction inner = transaction.begin();
    inner.exec("insert into tally values (2)");
    inner.rollback();
  });
  Batch batch;
  for (int i = 0; i < 100; ++i) batch.add("insert into tally values ($1)", i);
  EXPECT_FALSE(pool.run(batch).failed());
  pool.copy_in({.table = "tally"}, std::vector<std::tuple<int>>{{1}, {2}, {3}});
  int sum = 0;
  pool.copy_out("select n from tally", [&sum](const Row& row) { sum += row.get<int>(0); });
  EXPECT_EQ(sum, 1 + 99 * 100 / 2 + 6);
  int rows = 0;
  pool.acquire()->each("select n from tally", [&rows](const Row&) { ++rows; });
  EXPECT_EQ(rows, 104);
  pool.exec("drop table tally");
}

}  // namespace tidegate::test
