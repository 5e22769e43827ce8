#include <tidegate/watch/metrics.hpp>

#include <array>
#include <chrono>
#include <cstddef>

#include <tidegate/base/version.hpp>

#include "base/printable.hpp"
#include "watch/counter_tables.hpp"

namespace tidegate {
namespace {

using std::chrono::nanoseconds;
using Type = MetricFamily::Type;

class Families {
 public:
  explicit Families(const std::vector<NamedStats>& pools) : pools_(pools) {
    constexpr std::size_t kMost = 256;  // the name stands in every sample
    for (const NamedStats& pool : pools)
      names_.push_back(detail::printable(pool.pool, detail::Lines::escaped, kMost));
  }

  // A value of each pool.
  template <class Get>
  void add(Type type, std::string_view name, std::string_view help, Get&& get) {
    begin(type, name, help);
    for (std::size_t i = 0; i < pools_.size(); ++i) sample(i).value = number(get(pools_[i].stats));
  }
  // A group of counters of each pool, told apart by a label.
  template <class Group, std::size_t kSize>
  void add(std::string_view name, std::string_view help, std::string_view label,
           Group Stats::* group, const std::array<detail::Counter<Group>, kSize>& table) {
    begin(Type::counter, name, help);
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      for (const auto& [value, member] : table)
        sample(i, label, std::string(value)).value = number((pools_[i].stats.*group).*member);
    }
  }
  // One more to the last group.
  void also(std::string_view label, const char* value, std::uint64_t Stats::* member) {
    for (std::size_t i = 0; i < pools_.size(); ++i)
      sample(i, label, value).value = number(pools_[i].stats.*member);
  }
  void add_connections() {
    begin(Type::gauge, "db_client_connection_count", "Connections that are idle or used.");
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      const std::string_view label = "db_client_connection_state";
      sample(i, label, "idle").value = number(pools_[i].stats.idle);
      sample(i, label, "used").value = number(pools_[i].stats.leased);
    }
  }
  void add(std::string_view name, std::string_view help, Histogram Stats::* member) {
    begin(Type::histogram, name, help);
    for (std::size_t i = 0; i < pools_.size(); ++i) sample(i).histogram = pools_[i].stats.*member;
  }
  void add_create_errors() {
    begin(Type::counter, "db_client_connection_tidegate_create_errors_total",
          "Connections that could not be opened, by the class of the SQLSTATE.");
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      for (const auto& [found, count] : pools_[i].stats.create_errors_by_class)
        sample(i, "sqlstate_class", detail::one_line(found)).value = number(count);
    }
  }
  void add_version() {
    begin(Type::gauge, "db_client_connection_tidegate_build_info", "The library's version.");
    found_.back().samples.push_back({.labels = {{"version", TIDEGATE_VERSION_STRING}}, .value = 1});
  }
  std::vector<MetricFamily> take() { return std::move(found_); }

 private:
  static double number(nanoseconds value) { return std::chrono::duration<double>(value).count(); }
  static double number(std::uint64_t value) { return static_cast<double>(value); }

  void begin(Type type, std::string_view name, std::string_view help) {
    found_.push_back({.name = name, .help = help, .type = type});
  }
  MetricSample& sample(std::size_t pool) {
    return found_.back().samples.emplace_back(
        MetricSample{.labels = {{"db_client_connection_pool_name", names_[pool]}}});
  }
  MetricSample& sample(std::size_t pool, std::string_view label, std::string value) {
    MetricSample& one = sample(pool);
    one.labels.emplace_back(label, std::move(value));
    return one;
  }

  const std::vector<NamedStats>& pools_;
  std::vector<std::string> names_{};
  std::vector<MetricFamily> found_{};
};

// What OpenTelemetry's conventions name.
void add_conventional(Families& out) {
  out.add_connections();
  out.add(Type::gauge, "db_client_connection_max", "The most connections that the pool opens.",
          [](const Stats& s) { return s.max; });
  out.add(Type::gauge, "db_client_connection_idle_max", "The most connections that may be idle.",
          [](const Stats& s) { return s.max; });
  out.add(Type::gauge, "db_client_connection_idle_min",
          "How many idle connections the pool keeps open, at least.",
          [](const Stats& s) { return s.min_idle; });
  out.add(Type::gauge, "db_client_connection_pending_requests", "Acquires that wait.",
          [](const Stats& s) { return s.waiting; });
  out.add(Type::counter, "db_client_connection_timeouts_total",
          "Acquires that got no connection in time.",
          [](const Stats& s) { return s.outcomes.timeout; });
  out.add("db_client_connection_create_time_seconds", "How long it took to open a connection.",
          &Stats::connects);
  out.add("db_client_connection_wait_time_seconds", "How long acquires waited, failed ones, too.",
          &Stats::waits);
}

void add_own(Families& out) {
  out.add("db_client_connection_tidegate_acquires_total", "Acquires, by how they ended.", "outcome",
          &Stats::outcomes, detail::kOutcomes);
  out.add(Type::gauge, "db_client_connection_tidegate_connecting",
          "Connections that are being opened.", [](const Stats& s) { return s.connecting; });
  out.add(Type::gauge, "db_client_connection_tidegate_checking",
          "Connections that are being pinged or cleaned.",
          [](const Stats& s) { return s.checking; });
  out.add(Type::gauge, "db_client_connection_tidegate_retiring",
          "Connections that are being closed.", [](const Stats& s) { return s.retiring; });
  out.add(Type::gauge, "db_client_connection_tidegate_oldest_wait_seconds",
          "How long the oldest acquire that waits has waited.",
          [](const Stats& s) { return s.oldest_wait; });
  out.add(Type::gauge, "db_client_connection_tidegate_used_peak",
          "The most connections that were used at a time, since the pool was made.",
          [](const Stats& s) { return s.peak_leased; });
  out.add(Type::gauge, "db_client_connection_tidegate_pending_requests_peak",
          "The most acquires that waited at a time, since the pool was made.",
          [](const Stats& s) { return s.peak_waiting; });
  out.add(Type::counter, "db_client_connection_tidegate_created_total", "Connections opened.",
          [](const Stats& s) { return s.created; });
  out.add_create_errors();
  out.add("db_client_connection_tidegate_closed_total", "Connections closed, by reason.", "reason",
          &Stats::destroyed, detail::kDestroyed);
  out.also("reason", "hijacked", &Stats::hijacked);
  out.add(Type::counter, "db_client_connection_tidegate_backends_abandoned_total",
          "Server processes that may live on without a connection.",
          [](const Stats& s) { return s.backends_abandoned; });
  out.add(Type::gauge, "db_client_connection_tidegate_connects_stuck",
          "Threads that have not returned from a connect that was given up.",
          [](const Stats& s) { return s.connects_stuck; });
  out.add(Type::counter, "db_client_connection_tidegate_pings_total", "Pings begun.",
          [](const Stats& s) { return s.pings; });
  out.add(Type::counter, "db_client_connection_tidegate_cancels_sent_total",
          "Cancel requests sent.", [](const Stats& s) { return s.cancels.sent; });
  out.add(Type::counter, "db_client_connection_tidegate_cancels_failed_total",
          "Cancel requests sent that are not known to have arrived.",
          [](const Stats& s) { return s.cancels.failed; });
  out.add(Type::counter, "db_client_connection_tidegate_cancels_unsent_total",
          "Cancel requests for which no server could be reached.",
          [](const Stats& s) { return s.cancels.unsent; });
  out.add(Type::counter, "db_client_connection_tidegate_cancels_stuck_total",
          "Cancel requests whose end was waited for in vain.",
          [](const Stats& s) { return s.cancels.stuck; });
  out.add("db_client_connection_tidegate_resets_total",
          "Connections cleaned after their lease, by result.", "result", &Stats::resets,
          detail::kResets);
  out.add(Type::counter, "db_client_connection_tidegate_leaks_suspected_total",
          "Leases that were out for longer than the leak threshold.",
          [](const Stats& s) { return s.leaks_suspected; });
  out.add(Type::counter, "db_client_connection_tidegate_leaks_returned_total",
          "Suspected leases that ended after all.",
          [](const Stats& s) { return s.leaks_returned; });
  out.add(Type::counter, "db_client_connection_tidegate_role_changes_total",
          "How often the server was found to be no primary any more.",
          [](const Stats& s) { return s.role_changes; });
  out.add(Type::counter, "db_client_connection_tidegate_lane_statements_total",
          "Statements that shared a connection.",
          [](const Stats& s) { return s.lanes.statements; });
}

}  // namespace

std::vector<MetricFamily> metrics_of(const std::vector<NamedStats>& pools) {
  Families found(pools);
  add_conventional(found);
  add_own(found);
  found.add_version();
  return found.take();
}

const std::vector<double>& metric_bounds() {
  static const std::vector<double> bounds{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05,
                                          0.1,    0.5,    1.0,   5.0,   10.0};
  return bounds;
}

std::vector<std::uint64_t> cumulative_counts(const Histogram& histogram) {
  std::vector<std::uint64_t> counts;
  for (const double bound : metric_bounds()) {
    counts.push_back(histogram.at_most(
        std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(bound))));
  }
  return counts;
}

}  // namespace tidegate
