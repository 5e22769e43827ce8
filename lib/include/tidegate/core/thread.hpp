// The core's threads are the library's (base/thread.hpp).
#pragma once

#include <tidegate/base/thread.hpp>

namespace tidegate::core {

using tidegate::detail::start_thread;

}  // namespace tidegate::core
