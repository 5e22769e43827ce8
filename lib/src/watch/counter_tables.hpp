// The counters of Stats that come in groups, each with the name that JSON and metrics give it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include <tidegate/watch/stats.hpp>

namespace tidegate::detail {

template <class Group>
using Counter = std::pair<std::string_view, std::uint64_t Group::*>;

using Outcomes = Stats::Outcomes;
inline constexpr auto kOutcomes = std::to_array<Counter<Outcomes>>({
    {"immediate", &Outcomes::immediate},
    {"waited", &Outcomes::waited},
    {"timeout", &Outcomes::timeout},
    {"unavailable", &Outcomes::unavailable},
    {"rejected", &Outcomes::rejected},
    {"overloaded", &Outcomes::overloaded},
    {"hook", &Outcomes::hook},
    {"canceled", &Outcomes::canceled},
    {"closed", &Outcomes::closed},
    {"would_deadlock", &Outcomes::would_deadlock},
});

using Destroyed = Stats::Destroyed;
inline constexpr auto kDestroyed = std::to_array<Counter<Destroyed>>({
    {"lifetime", &Destroyed::lifetime},
    {"idle", &Destroyed::idle},
    {"broken", &Destroyed::broken},
    {"ping", &Destroyed::ping},
    {"hook", &Destroyed::hook},
    {"reset", &Destroyed::reset},
    {"dirty", &Destroyed::dirty},
    {"generation", &Destroyed::generation},
    {"shutdown", &Destroyed::shutdown},
});

using Resets = Stats::Resets;
inline constexpr auto kResets = std::to_array<Counter<Resets>>({
    {"clean", &Resets::clean},
    {"failed", &Resets::failed},
});

}  // namespace tidegate::detail
