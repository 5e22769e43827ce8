// tidegate::PoolCollector: pools as a prometheus-cpp Collectable. CMake: find_package(tidegate
// REQUIRED COMPONENTS prometheus) and link tidegate::prometheus.
//
//   auto pools = std::make_shared<tidegate::PoolCollector>(std::vector{&orders, &reports});
//   exposer.RegisterCollectable(pools);  // it keeps a std::weak_ptr
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/pool/pool.hpp>
#include <tidegate/watch/metrics.hpp>

namespace tidegate {

class PoolCollector final : public ::prometheus::Collectable {
 public:
  // Needs: each pool outlives this; it may be closed.
  explicit PoolCollector(std::vector<const Pool*> pools) : pools_(std::move(pools)) {}

  // The metrics of metrics_of(). Nothing when there is no memory for them: a scrape is no reason to
  // end a service.
  std::vector<::prometheus::MetricFamily> Collect() const override {
    try {
      std::vector<NamedStats> stats;
      for (const Pool* const pool : pools_)
        stats.push_back({pool->config().effective_name(), pool->stats()});
      std::vector<::prometheus::MetricFamily> families;
      for (const MetricFamily& family : metrics_of(stats)) families.push_back(converted(family));
      return families;
    } catch (const std::exception&) {
      return {};
    }
  }

 private:
  static ::prometheus::MetricFamily converted(const MetricFamily& family) {
    using Type = ::prometheus::MetricType;
    ::prometheus::MetricFamily made;
    made.name = family.name;
    made.help = family.help;
    made.type = family.type == MetricFamily::Type::gauge     ? Type::Gauge
                : family.type == MetricFamily::Type::counter ? Type::Counter
                                                             : Type::Histogram;
    for (const MetricSample& sample : family.samples) {
      ::prometheus::ClientMetric& metric = made.metric.emplace_back();
      for (const auto& [name, value] : sample.labels)
        metric.label.push_back({std::string(name), value});
      switch (family.type) {
        case MetricFamily::Type::gauge: metric.gauge.value = sample.value; break;
        case MetricFamily::Type::counter: metric.counter.value = sample.value; break;
        case MetricFamily::Type::histogram: convert(sample.histogram, metric.histogram); break;
      }
    }
    return made;
  }

  static void convert(const Histogram& histogram, ::prometheus::ClientMetric::Histogram& made) {
    made.sample_count = histogram.count();
    made.sample_sum = std::chrono::duration<double>(histogram.sum()).count();
    const std::vector<std::uint64_t> counts = cumulative_counts(histogram);
    for (std::size_t i = 0; i < counts.size(); ++i)
      made.bucket.push_back({counts[i], metric_bounds()[i]});
  }

  std::vector<const Pool*> pools_;
};

}  // namespace tidegate
