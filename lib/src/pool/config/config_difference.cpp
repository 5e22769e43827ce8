#include "pool/config/config_difference.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include <tidegate/pq/conninfo.hpp>

#include "pool/config/config_keys.hpp"

namespace tidegate::detail {
namespace {

constexpr std::string_view kUnset = "unset";

std::string shown(const pq::ConninfoOption* option) {
  if (option == nullptr) return std::string(kUnset);
  return option->secret ? "***" : '"' + option->value + '"';
}

const pq::ConninfoOption* find(const std::vector<pq::ConninfoOption>& options,
                               std::string_view keyword) {
  const auto at = std::find_if(options.begin(), options.end(),
                               [keyword](const auto& option) { return option.keyword == keyword; });
  return at == options.end() ? nullptr : &*at;
}

void compare_conninfo(const PoolConfig& wanted, const PoolConfig& existing,
                      const std::string& present, std::vector<ConfigError::Problem>& found) {
  const auto ours = pq::parse_conninfo(wanted.conninfo).value_or(std::vector<pq::ConninfoOption>());
  const auto theirs =
      pq::parse_conninfo(existing.conninfo).value_or(std::vector<pq::ConninfoOption>());
  const auto differ = [&](const std::string& keyword) {
    const auto* mine = find(ours, keyword);
    const auto* other = find(theirs, keyword);
    if (mine != nullptr && other != nullptr && mine->value == other->value) return;
    found.push_back({.field = "conninfo",
                     .key = keyword,
                     .value = shown(mine),
                     .text = present + " " + shown(other)});
  };
  for (const auto& option : ours) differ(option.keyword);
  for (const auto& option : theirs) {
    if (find(ours, option.keyword) == nullptr) differ(option.keyword);
  }
}

// Of code, only its presence can be compared. A hook that is added to Hooks and not here does not
// compile.
using Code = std::array<std::pair<std::string_view, bool>, 7>;
Code code_of(const PoolConfig& config) {
  const auto& [before_connect, after_connect, prepare, should_ping, after_release, before_close] =
      config.hooks;
  return {{{"hooks.before_connect", static_cast<bool>(before_connect)},
           {"hooks.after_connect", static_cast<bool>(after_connect)},
           {"hooks.prepare", static_cast<bool>(prepare)},
           {"hooks.should_ping", static_cast<bool>(should_ping)},
           {"hooks.after_release", static_cast<bool>(after_release)},
           {"hooks.before_close", static_cast<bool>(before_close)},
           {"observer", config.observer != nullptr}}};
}

void compare_code(const PoolConfig& wanted, const PoolConfig& existing, const std::string& present,
                  std::vector<ConfigError::Problem>& found) {
  const auto shown = [](bool set) { return std::string(set ? "set" : kUnset); };
  const Code ours = code_of(wanted);
  const Code theirs = code_of(existing);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (ours[i] == theirs[i]) continue;
    found.push_back({.field = std::string(ours[i].first),
                     .value = shown(ours[i].second),
                     .text = present + " " + shown(theirs[i].second)});
  }
}

// The configuration with computed values for the members that are unset.
PoolConfig normalised(const PoolConfig& config) {
  PoolConfig copy = config;
  copy.name = config.effective_name();
  copy.max_lifetime_jitter = config.effective_lifetime_jitter();
  copy.max_connecting = config.effective_max_connecting();
  return copy;
}

}  // namespace

std::vector<ConfigError::Problem> differences(const PoolConfig& wanted, const PoolConfig& existing,
                                              const std::string& present) {
  std::vector<ConfigError::Problem> found;
  compare_conninfo(wanted, existing, present, found);
  const PoolConfig ours = normalised(wanted);
  const PoolConfig theirs = normalised(existing);
  for (const ConfigKey& key : config_keys()) {
    const auto mine = write_value(key, ours);
    const auto other = write_value(key, theirs);
    if (mine == other) continue;
    found.push_back({.field = std::string(key.field),
                     .key = std::string(key.key),
                     .value = mine.value_or(std::string(kUnset)),
                     .text = present + " " + other.value_or(std::string(kUnset))});
  }
  compare_code(wanted, existing, present, found);
  return found;
}

}  // namespace tidegate::detail
