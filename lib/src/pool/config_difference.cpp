#include "pool/config_difference.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include <tidegate/pq/conninfo.hpp>

#include "pool/config_keys.hpp"

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

// With what is computed in the place of what is unset.
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
  return found;
}

}  // namespace tidegate::detail
