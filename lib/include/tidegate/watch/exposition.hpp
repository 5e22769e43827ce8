// Stats as text for programs: JSON, and what Prometheus scrapes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/watch/metrics.hpp>
#include <tidegate/watch/stats.hpp>

namespace tidegate {

// One JSON object with the names of Stats' members, except that durations are numbers of seconds
// and say so: "oldest_wait_seconds":0.25. A histogram is
//   {"count":3,"sum_seconds":0.5,"p50_seconds":...,"p90_seconds":...,"p99_seconds":...,
//    "max_seconds":...,"at_most":{"0.0001":2,...,"10":3}}, with seconds for names
TIDEGATE_API std::string to_json(const Stats& stats);
// {"pool":"orders","stats":{...}}
TIDEGATE_API std::string to_json(const NamedStats& pool);

// Prometheus' text format 0.0.4, of the metrics that metrics_of() names. All pools of a process go
// into one call, because a metric may appear only once; their names should differ.
TIDEGATE_API std::string to_prometheus(const std::vector<NamedStats>& pools);
TIDEGATE_API std::string to_prometheus(const Stats& stats, std::string_view pool);

}  // namespace tidegate
