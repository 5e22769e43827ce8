// Delays: makes threads slow at the library's named test points, where the races are.
#pragma once

#include <cstdint>

namespace tidegate::stress {

// Installs the hook for the process (checked builds; else nothing happens). Beside the delays it
// watches two points for I4: where the fence stands, and where an acquire goes to settle.
// `seed`: of the draws of threads that are no actors. May be called again, between two scenarios.
void install_delays(std::uint64_t seed);

// Chooses what is delayed from here on: nothing, everything a little, or one point much.
void next_delays(std::uint64_t seed) noexcept;

}  // namespace tidegate::stress
