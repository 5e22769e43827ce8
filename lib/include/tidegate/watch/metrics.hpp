// A pool's Stats as metrics with names, for whatever exports metrics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/base/histogram.hpp>
#include <tidegate/watch/stats.hpp>

namespace tidegate {

struct NamedStats {
  std::string pool{};  // PoolConfig::effective_name()
  Stats stats{};
};

struct MetricSample {
  std::vector<std::pair<std::string_view, std::string>> labels{};
  double value = 0;       // of a gauge or a counter
  Histogram histogram{};  // of a histogram; in seconds where it is exported
};

struct MetricFamily {
  enum class Type : std::uint8_t { gauge, counter, histogram };
  std::string_view name{};
  std::string_view help{};
  Type type = Type::gauge;
  std::vector<MetricSample> samples{};
};

// Each metric once, with the samples of all pools. The names are those of OpenTelemetry's
// conventions for database clients, as its exporter to Prometheus prints them
// (db_client_connection_*); what these do not know is db_client_connection_tidegate_*. Every sample
// of a pool has the label db_client_connection_pool_name: its name, printable and cut at 256 bytes.
TIDEGATE_API std::vector<MetricFamily> metrics_of(const std::vector<NamedStats>& pools);

// The upper bounds of the buckets that a histogram is exported with, in seconds: those that the
// conventions advise, and two below them.
TIDEGATE_API const std::vector<double>& metric_bounds();
// How many of the histogram are at most each of the bounds.
TIDEGATE_API std::vector<std::uint64_t> cumulative_counts(const Histogram& histogram);

}  // namespace tidegate
