// A stranger's program with tidegate::prometheus: prints 42 when the pool's metrics are there.
#include <tidegate/prometheus.hpp>

#include <cstdio>
#include <vector>

int main() {
  tidegate::Pool pool("pool_max_conns=1");
  const int answer = pool.query_value<int>("select 42");
  const tidegate::PoolCollector collector(std::vector<const tidegate::Pool*>{&pool});
  std::printf("%d\n", collector.Collect().empty() ? 0 : answer);
}
