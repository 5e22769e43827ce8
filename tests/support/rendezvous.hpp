// Rendezvous: where the threads of a test meet. No sleeping: nothing here depends on the wall clock
// but the watchdog, which ends a test that hangs with a word about where.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace tidegate::test {

// Far longer than any step takes, also on a loaded machine under a sanitizer.
// TIDEGATE_TEST_PATIENCE (seconds) shortens it for runs in which a planted fault is expected to
// hang.
inline std::chrono::seconds patience() {
  static const char* const seconds = std::getenv("TIDEGATE_TEST_PATIENCE");
  return std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 60);
}

[[noreturn]] inline void give_up(std::string_view what) {
  std::fprintf(stderr, "gave up waiting for %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// Waits until `condition` holds, looking again and again.
template <class Condition>
void await(std::string_view what, Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + patience();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) give_up(what);
    std::this_thread::yield();
  }
}

// Is the thread (of this process) asleep in the kernel? For steps that only mean something when it
// is, and are right all the same when it is not.
inline bool asleep(std::int32_t thread_id) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread_id) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.size() > name_end + 2 && stat[name_end + 2] == 'S';
}

// Lets `threads` threads go at the same moment, again and again.
class StartLine {
 public:
  explicit StartLine(int threads) : threads_(threads) {}

  void arrive_and_wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    await("a start line", [&] { return round_.load(std::memory_order_acquire) != round; });
  }

 private:
  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

// Runs body(0) .. body(threads - 1), each on a thread of its own, and joins them.
template <class Body>
void run_threads(int threads, Body&& body) {
  std::vector<std::thread> running;
  running.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) running.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : running) thread.join();
}

}  // namespace tidegate::test
