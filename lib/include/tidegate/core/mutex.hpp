// The core's locks are the library's (base/mutex.hpp).
#pragma once

#include <tidegate/base/mutex.hpp>

namespace tidegate::core {

using tidegate::detail::Lock;
using tidegate::detail::Mutex;

}  // namespace tidegate::core
