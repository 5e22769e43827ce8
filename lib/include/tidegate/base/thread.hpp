// The library's own threads, named and with all signals blocked; and the names of all threads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include <tidegate/base/export.hpp>

namespace tidegate::detail {

// Starts `body` on a thread named `name` (15 characters at most) in which every signal is blocked.
// Throws std::system_error when the system gives no thread.
TIDEGATE_API std::thread start_thread(const char* name, std::function<void()> body);

// "worker-3": the name of a thread of this process, by the kernel's id; empty when the thread is
// gone or has no name. Reads a file.
TIDEGATE_API std::string thread_name(long thread_id);
// `thread "worker-3"`, or "thread 4711" when it has no name.
TIDEGATE_API std::string thread_text(std::string_view name, long id);

}  // namespace tidegate::detail
