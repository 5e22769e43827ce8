// The table of pool_* keys: one line per key joins its spelling, its member and its range.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <tidegate/pool/config.hpp>

namespace tidegate::detail {

inline constexpr std::string_view kKeyPrefix = "pool_";

struct ConfigKey {
  template <class T>
  using MemberOf = T PoolConfig::*;
  using Member =
      std::variant<MemberOf<std::uint32_t>, MemberOf<std::chrono::milliseconds>,
                   MemberOf<std::chrono::microseconds>, MemberOf<std::optional<std::uint32_t>>,
                   MemberOf<std::optional<std::chrono::milliseconds>>,
                   MemberOf<std::optional<std::string>>, MemberOf<ResetPolicy>,
                   MemberOf<NestedAcquire>, MemberOf<bool>>;

  std::string_view key{};
  std::string_view field{};
  Member member{};
  // The allowed range, in the member's own unit; not used for text.
  std::int64_t min = 0;
  std::int64_t max = 0;
  bool power_of_two = false;
};

std::span<const ConfigKey> config_keys() noexcept;
const ConfigKey* find_config_key(std::string_view key) noexcept;
// The spellings, for a search of the nearest one.
std::vector<std::string_view> config_key_names();

// Sets the member from `text`. Promises: returns nothing, or what is wrong (without an echo of
// `text`) and leaves the member as it was.
std::optional<std::string> read_value(const ConfigKey& key, std::string_view text,
                                      PoolConfig& config);
// What is wrong with the member's value by itself, if anything.
std::optional<std::string> check_value(const ConfigKey& key, const PoolConfig& config);
// The value as read_value() reads it; nullopt when the member is unset.
std::optional<std::string> write_value(const ConfigKey& key, const PoolConfig& config);

}  // namespace tidegate::detail
