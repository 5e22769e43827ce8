// pq waits as the whole library does (base/wait.hpp).
#pragma once

#include "base/wait.hpp"

namespace tidegate::pq {

using tidegate::detail::wait_for;
using tidegate::detail::Waited;

}  // namespace tidegate::pq
