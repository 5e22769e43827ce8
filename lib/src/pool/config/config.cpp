#include <tidegate/pool/config.hpp>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include <tidegate/core/ticket.hpp>
#include <tidegate/pq/conninfo.hpp>

#include "pool/config/config_check.hpp"
#include "pool/config/config_keys.hpp"
#include "pool/config/conninfo_split.hpp"
#include "pool/config/nearest.hpp"

namespace tidegate {
namespace {

using detail::ConninfoPart;
using detail::ConninfoSplit;
using detail::Problems;
using Problem = ConfigError::Problem;

// Reads one pool_* part into `config`. `show`: an error may name the part's key.
void read_part(const ConninfoPart& part, bool show, std::set<std::string_view>& seen,
               PoolConfig& config, Problems& problems) {
  const auto* key = detail::find_config_key(part.key);
  if (key == nullptr) {
    const auto guess = detail::nearest(part.key, detail::config_key_names());
    problems.push_back({.key = show ? part.key : std::string(detail::kKeyPrefix) + "...",
                        .text = "position " + std::to_string(part.position) +
                                ": unknown key; the nearest is " + std::string(guess.word)});
    return;
  }
  Problem problem{.field = std::string(key->field), .key = std::string(key->key)};
  if (!seen.insert(key->key).second) {
    problem.text = "position " + std::to_string(part.position) + ": given twice";
  } else if (auto wrong = detail::read_value(*key, part.value, config)) {
    problem.value = detail::shown_value(part.value);
    problem.text = std::move(*wrong);
  } else {
    return;
  }
  problems.push_back(std::move(problem));
}

// The value of an option in a list, or empty.
std::string value_of(const std::vector<pq::ConninfoOption>& options, std::string_view keyword) {
  for (const auto& option : options) {
    if (option.keyword == keyword) return option.value;
  }
  return {};
}

bool holds_pool_keys(const ConninfoSplit& split) {
  return std::any_of(split.parts.begin(), split.parts.end(),
                     [](const ConninfoPart& part) { return detail::is_pool_key(part.key); });
}

// A whole connection string may be there by mistake: libpq takes it for a name.
bool is_odd_database(std::string_view name) { return detail::may_hold_keyword("dbname", name); }

// Returns the parts of the conninfo with secrets hidden, and hides them in `split` as well. Hides
// all of a faulty conninfo.
std::vector<std::string> mask(ConninfoSplit& split) {
  const auto known = pq::conninfo_defaults();
  Problems problems;
  detail::check_conninfo(split, known, problems);
  const auto target = pq::parse_conninfo(detail::join_conninfo(split, {}));
  if (!problems.empty() || holds_pool_keys(split) || !target ||
      is_odd_database(value_of(*target, "dbname"))) {
    split = {};
    return {std::string(detail::kHidden)};
  }
  // A user name alone is no secret.
  if (split.userinfo && split.userinfo->find_first_of(":=") != std::string_view::npos) {
    split.userinfo = detail::kHidden;
  }
  std::vector<std::string> parts;
  for (const auto& part : split.parts) {
    const bool hide = std::any_of(known.begin(), known.end(), [&part](const auto& option) {
      return option.secret && option.keyword == part.key;
    });
    parts.push_back(hide || detail::may_hold_keyword(part.key, part.value)
                        ? part.key + '=' + std::string(detail::kHidden)
                        : std::string(part.text));
  }
  return parts;
}

// "host:port" for each host, as libpq pairs them: one port serves all.
std::string address_text(std::string hosts, const std::string& ports) {
  std::string text;
  std::string port;
  for (std::size_t host_at = 0, port_at = 0;;) {
    const std::size_t host_end = std::min(hosts.find(',', host_at), hosts.size());
    if (port_at <= ports.size()) {
      const std::size_t port_end = std::min(ports.find(',', port_at), ports.size());
      port = ports.substr(port_at, port_end - port_at);
      port_at = port_end + 1;
    }
    text += hosts.substr(host_at, host_end - host_at);
    if (!port.empty()) text += ':' + port;
    if (host_end == hosts.size()) return text;
    text += ',';
    host_at = host_end + 1;
  }
}

std::string first_of(std::initializer_list<std::string> candidates) {
  for (const auto& candidate : candidates) {
    if (!candidate.empty()) return candidate;
  }
  return {};
}

}  // namespace

bool operator==(const PoolConfig& a, const PoolConfig& b) {
  const auto keys = detail::config_keys();
  return a.conninfo == b.conninfo &&
         std::all_of(keys.begin(), keys.end(), [&](const detail::ConfigKey& key) {
           return std::visit([&](auto member) { return a.*member == b.*member; }, key.member);
         });
}

PoolConfig PoolConfig::parse(std::string_view conninfo, Location where) {
  PoolConfig config;
  Problems problems;
  const ConninfoSplit split = detail::split_conninfo(conninfo);
  const auto known = pq::conninfo_defaults();
  const auto show = detail::showable_keys(split, known);
  std::set<std::string_view> seen;
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < split.parts.size(); ++i) {
    const ConninfoPart& part = split.parts[i];
    if (detail::is_pool_key(part.key)) {
      read_part(part, show[i], seen, config, problems);
    } else {
      rest.emplace_back(part.text);
    }
  }
  const std::size_t pool_problems = problems.size();
  detail::check_conninfo(split, known, problems);
  if (problems.size() != pool_problems || split.doubtful) {
    // The string cannot be read with certainty, so any value may be a piece of a password.
    for (auto& problem : problems) {
      if (!problem.value.empty()) problem.value = detail::kHidden;
    }
  }
  detail::check_members(config, problems);
  if (!problems.empty()) throw ConfigError(std::move(problems), where);
  config.conninfo = detail::join_conninfo(split, rest);
  return config;
}

void PoolConfig::validate(Location where) const {
  Problems problems;
  const ConninfoSplit split = detail::split_conninfo(conninfo);
  if (holds_pool_keys(split)) {
    problems.push_back({.field = "conninfo",
                        .text = "it holds pool_* keys, which only PoolConfig::parse() takes out"});
  }
  detail::check_conninfo(split, pq::conninfo_defaults(), problems);
  detail::check_members(*this, problems);
  if (!problems.empty()) throw ConfigError(std::move(problems), where);
}

std::string PoolConfig::to_string() const {
  ConninfoSplit split = detail::split_conninfo(conninfo);
  std::vector<std::string> parts = mask(split);
  const PoolConfig defaults;
  for (const auto& key : detail::config_keys()) {
    const auto value = detail::write_value(key, *this);
    if (value && value != detail::write_value(key, defaults)) {
      parts.push_back(detail::write_part(split.uri, key.key, *value));
    }
  }
  return detail::join_conninfo(split, parts);
}

std::string PoolConfig::effective_name() const {
  if (name) return *name;
  const auto given = pq::parse_conninfo(conninfo);
  if (!given) return "unknown";
  const auto environment = pq::conninfo_defaults();
  const auto set = [&](const char* keyword) { return value_of(*given, keyword); };
  const std::string service = set("service");
  // A service file named in the string overrides the environment, but only libpq reads it.
  const auto or_default = [&](const char* keyword) {
    return service.empty() ? first_of({set(keyword), value_of(environment, keyword)})
                           : set(keyword);
  };

  std::string host = first_of({set("host"), set("hostaddr")});
  if (host.empty() && !service.empty()) host = "service " + service;
  if (host.empty()) host = first_of({or_default("host"), or_default("hostaddr"), "[local]"});
  std::string database = first_of({or_default("dbname"), or_default("user")});
  if (is_odd_database(database)) database = detail::kHidden;

  std::string text = address_text(host, or_default("port"));
  return database.empty() ? text : text + '/' + database;
}

PoolConfig::milliseconds PoolConfig::effective_lifetime_jitter() const noexcept {
  if (max_lifetime.count() == 0) return milliseconds::zero();
  return max_lifetime_jitter.value_or(max_lifetime / 10);
}

std::uint32_t PoolConfig::effective_max_connecting() const noexcept {
  return std::min(max_connecting, max_size);
}

std::uint32_t PoolConfig::default_max_size() noexcept {
  return std::clamp(std::thread::hardware_concurrency(), 4U, core::kMostSlots);
}

}  // namespace tidegate
