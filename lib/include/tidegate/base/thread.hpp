// The library's own threads: named, and deaf to signals.
#pragma once

#include <functional>
#include <thread>

#include <tidegate/base/export.hpp>

namespace tidegate::detail {

// Starts `body` on a thread named `name` (15 characters at most) in which every signal is blocked.
// Throws std::system_error when the system gives no thread.
TIDEGATE_API std::thread start_thread(const char* name, std::function<void()> body);

}  // namespace tidegate::detail
