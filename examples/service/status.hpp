// The live line of the demo.
#pragma once

#include <tidegate/tidegate.hpp>

#include <chrono>
#include <stop_token>

#include "tally.hpp"

namespace service {

// One line, rewritten in place on a terminal, once a second, until the time is over or stopped.
void show_status(const tidegate::Pool& pool, Tally& tally, std::chrono::seconds duration,
                 const std::stop_token& stop);

}  // namespace service
