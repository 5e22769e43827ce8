// Stats as text: one JSON object, or Prometheus' lines.
#include <tidegate/watch/exposition.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "base/json.hpp"
#include "watch/counter_tables.hpp"

namespace tidegate {
namespace {

using detail::decimal;
using detail::decimal_seconds;
using detail::JsonObject;

// ---- JSON --------------------------------------------------------------------------------------

JsonObject object_of(const Histogram& histogram) {
  JsonObject at_most;
  const std::vector<std::uint64_t> counts = cumulative_counts(histogram);
  for (std::size_t i = 0; i < counts.size(); ++i)
    at_most.number(decimal(metric_bounds()[i]), counts[i]);
  return JsonObject()
      .number("count", histogram.count())
      .seconds("sum_seconds", histogram.sum())
      .seconds("p50_seconds", histogram.quantile(0.5))
      .seconds("p90_seconds", histogram.quantile(0.9))
      .seconds("p99_seconds", histogram.quantile(0.99))
      .seconds("max_seconds", histogram.quantile(1))
      .add("at_most", at_most);
}
template <class Group, std::size_t kSize>
JsonObject object_of(const Group& group, const std::array<detail::Counter<Group>, kSize>& table) {
  JsonObject object;
  for (const auto& [name, member] : table) object.number(name, group.*member);
  return object;
}
JsonObject object_of(const Stats::Cancels& c) {
  return JsonObject()
      .number("sent", c.sent)
      .number("failed", c.failed)
      .number("unsent", c.unsent)
      .number("stuck", c.stuck);
}
JsonObject object_of(const std::map<std::string, std::uint64_t>& counts) {
  JsonObject object;
  for (const auto& [name, count] : counts) object.number(name, count);
  return object;
}
JsonObject object_of(const Stats::Lanes& l) {
  return JsonObject()
      .number("open", l.open)
      .number("callers", l.callers)
      .number("statements", l.statements)
      .number("rounds", l.rounds)
      .number("moved", l.moved)
      .number("rerun", l.rerun)
      .number("struck", l.struck);
}

// ---- Prometheus --------------------------------------------------------------------------------

// The values of labels have no newline: metrics_of() makes them printable.
std::string labels_of(const MetricSample& sample) {
  std::string text;
  for (const auto& [name, value] : sample.labels) {
    text.append(text.empty() ? "" : ",").append(name).append("=\"");
    for (const char c : value) {
      if (c == '\\' || c == '"') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text;
}

class Lines {
 public:
  void add(const MetricFamily& family) {
    constexpr const char* kTypes[] = {"gauge", "counter", "histogram"};
    text_.append("# HELP ").append(family.name).append(" ").append(family.help);
    text_.append("\n# TYPE ").append(family.name).append(" ");
    text_.append(kTypes[static_cast<std::size_t>(family.type)]).append("\n");
    for (const MetricSample& sample : family.samples) {
      if (family.type == MetricFamily::Type::histogram) {
        add(family.name, sample.histogram, labels_of(sample));
      } else {
        line(family.name, "", labels_of(sample), decimal(sample.value));
      }
    }
  }
  std::string take() { return std::move(text_); }

 private:
  void add(std::string_view name, const Histogram& histogram, const std::string& labels) {
    const std::vector<std::uint64_t> counts = cumulative_counts(histogram);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      line(name, "_bucket", labels + ",le=\"" + decimal(metric_bounds()[i]) + '"',
           std::to_string(counts[i]));
    }
    const std::string count = std::to_string(histogram.count());
    line(name, "_bucket", labels + ",le=\"+Inf\"", count);
    line(name, "_sum", labels, decimal_seconds(histogram.sum()));
    line(name, "_count", labels, count);
  }
  void line(std::string_view name, std::string_view part, const std::string& labels,
            const std::string& value) {
    text_.append(name).append(part).append("{").append(labels).append("} ");
    text_.append(value).append("\n");
  }

  std::string text_{};
};

}  // namespace

std::string to_json(const Stats& s) {
  return JsonObject()
      .number("max", s.max)
      .number("min", s.min)
      .number("min_idle", s.min_idle)
      .number("idle", s.idle)
      .number("leased", s.leased)
      .number("connecting", s.connecting)
      .number("checking", s.checking)
      .number("retiring", s.retiring)
      .number("pinging", s.pinging)
      .number("resetting", s.resetting)
      .number("in_hooks", s.in_hooks)
      .number("waiting", s.waiting)
      .seconds("oldest_wait_seconds", s.oldest_wait)
      .number("peak_leased", s.peak_leased)
      .number("peak_waiting", s.peak_waiting)
      .add("outcomes", object_of(s.outcomes, detail::kOutcomes))
      .seconds("waited_for_seconds", s.waited_for)
      .add("waits", object_of(s.waits))
      .number("released", s.released)
      .number("discarded", s.discarded)
      .number("hijacked", s.hijacked)
      .number("created", s.created)
      .number("create_errors", s.create_errors)
      .add("create_errors_by_class", object_of(s.create_errors_by_class))
      .add("connects", object_of(s.connects))
      .add("destroyed", object_of(s.destroyed, detail::kDestroyed))
      .number("backends_abandoned", s.backends_abandoned)
      .number("connects_stuck", s.connects_stuck)
      .number("pings", s.pings)
      .add("cancels", object_of(s.cancels))
      .add("resets", object_of(s.resets, detail::kResets))
      .number("role_changes", s.role_changes)
      .add("lanes", object_of(s.lanes))
      .number("leaks_suspected", s.leaks_suspected)
      .number("leaks_returned", s.leaks_returned)
      .number("nested_acquires", s.nested_acquires)
      .number("self_deadlocks_suspected", s.self_deadlocks_suspected)
      .done();
}

std::string to_json(const NamedStats& pool) {
  return JsonObject().text("pool", pool.pool).add("stats", to_json(pool.stats)).done();
}

std::string to_prometheus(const std::vector<NamedStats>& pools) {
  Lines lines;
  for (const MetricFamily& family : metrics_of(pools)) lines.add(family);
  return lines.take();
}

std::string to_prometheus(const Stats& stats, std::string_view pool) {
  return to_prometheus({{.pool = std::string(pool), .stats = stats}});
}

}  // namespace tidegate
