// Moves money between accounts from many threads at once. Each transfer takes effect as a whole or
// not at all; those that the server rolls back because of others are tried again.
#include <tidegate/tidegate.hpp>

#include <iostream>
#include <thread>
#include <tuple>
#include <vector>

namespace {

constexpr int kAccounts = 4;
constexpr int kTransfers = 25;  // per thread

void transfer(tidegate::Pool& pool, int from, int to, int amount) {
  pool.transact_retry(
      [&](tidegate::Transaction& t) {
        const char* read = "select balance from accounts where id = $1";
        const char* write = "update accounts set balance = $2 where id = $1";
        const int has = t.query_value<int>(read, from);
        const int gets = t.query_value<int>(read, to);
        t.exec(write, from, has - amount);
        t.exec(write, to, gets + amount);
      },
      {.isolation = tidegate::Isolation::serializable}, 1000);
}

}  // namespace

int main() try {
  tidegate::Pool pool{"pool_max_conns=4"};
  pool.exec_script(
      "drop table if exists accounts; create table accounts (id int primary key, balance int)");
  std::vector<std::tuple<int, int>> accounts;
  for (int id = 0; id < kAccounts; ++id) accounts.emplace_back(id, 100);
  pool.copy_in({.table = "accounts"}, accounts);

  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < kTransfers; ++i) {
        transfer(pool, (t + i) % kAccounts, (t + i + 1) % kAccounts, 1);
      }
    });
  }
  threads.clear();

  pool.copy_out("select id, balance from accounts order by id", [](const tidegate::Row& row) {
    std::cout << row.get<int>("id") << ": " << row.get<int>("balance") << '\n';
  });
  const int sum = pool.query_value<int>("select sum(balance) from accounts");
  pool.exec("drop table accounts");
  std::cout << "sum " << sum << '\n';
  return sum == 100 * kAccounts ? 0 : 1;
} catch (const tidegate::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
