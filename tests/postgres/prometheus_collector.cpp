// PoolCollector: what prometheus-cpp exports is what to_prometheus() writes.
#include <tidegate/prometheus.hpp>

#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <tidegate/tidegate.hpp>

namespace tidegate::test {
namespace {

using testing::HasSubstr;

std::string exported(const PoolCollector& collector) {
  std::ostringstream out;
  ::prometheus::TextSerializer().Serialize(out, collector.Collect());
  return out.str();
}

// The samples without their values, which change between two looks.
std::set<std::string> names_in(const std::string& text) {
  std::set<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '#') names.insert(line.substr(0, line.find_last_of(' ')));
  }
  return names;
}

TEST(PoolCollector, ExportsWhatTheTextHas) {
  Pool orders(PoolConfig{.name = "orders \"a\\b\"", .max_size = 2});
  Pool reports(PoolConfig{.name = "reports", .max_size = 1});
  orders.exec("select 1");
  const PoolCollector collector({&orders, &reports});
  std::string text = to_prometheus({{orders.config().effective_name(), orders.stats()},
                                    {reports.config().effective_name(), reports.stats()}});
  // The same numbers in another spelling: a bound of 1 is le="1" there, too.
  EXPECT_EQ(names_in(exported(collector)), names_in(text));
  EXPECT_THAT(
      exported(collector),
      HasSubstr("db_client_connection_max{db_client_connection_pool_name=\"reports\"} 1\n"));
  EXPECT_THAT(exported(collector),
              HasSubstr("# TYPE db_client_connection_wait_time_seconds histogram\n"));
}

TEST(PoolCollector, OfAClosedPoolSaysWhatItDid) {
  Pool pool(PoolConfig{.name = "orders", .max_size = 2});
  pool.exec("select 1");
  pool.close();
  EXPECT_THAT(
      exported(PoolCollector({&pool})),
      HasSubstr("_closed_total{db_client_connection_pool_name=\"orders\",reason=\"shutdown\"}"
                " 1\n"));
}

}  // namespace
}  // namespace tidegate::test
