// The error of a wrong call; it names where the call was made.
#pragma once

#include <string>

#include <tidegate/base/location.hpp>

namespace tidegate::pq {

// Throws UsageError: `text`, then " at src/repo.cpp:41" when that is known.
[[noreturn]] void throw_usage(std::string text, Location where);

}  // namespace tidegate::pq
