#include <tidegate/core/sync.hpp>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

#include <tidegate/base/fork.hpp>

namespace tidegate::core {
namespace {

long futex(std::atomic<std::uint32_t>* word, int operation, std::uint32_t value,
           const timespec* timeout, std::uint32_t mask) noexcept {
  return ::syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, mask);
}

// The thread of a child has another id than the thread that forked. The hook is made when the
// program is loaded, because the first use of an id could tell nobody that memory ran out.
const tidegate::detail::ForkHook forget_thread_id(
    [](void*) noexcept { detail::cached_thread_id = 0; }, nullptr);

}  // namespace

std::int32_t detail::ask_thread_id() noexcept {
  return static_cast<std::int32_t>(::syscall(SYS_gettid));
}

unsigned detail::ask_cpu() noexcept {
  const int cpu = ::sched_getcpu();
  return static_cast<unsigned>(cpu >= 0 ? cpu : current_thread_id());
}

// FUTEX_WAIT_BITSET takes an absolute time on CLOCK_MONOTONIC, which is what steady_clock reads.
std::uint32_t FutexParker::park(Deadline deadline) noexcept {
  timespec until{};
  if (!deadline.is_never()) {
    const auto since_epoch = deadline.at().time_since_epoch();
    if (since_epoch.count() <= 0) return value();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
    until.tv_sec = static_cast<time_t>(seconds.count());
    until.tv_nsec = static_cast<long>((since_epoch - seconds).count());
  }
  for (;;) {
    const std::uint32_t word = value();
    if (word != kUndecided) return word;
    const long result = futex(&word_, FUTEX_WAIT_BITSET, kUndecided,
                              deadline.is_never() ? nullptr : &until, FUTEX_BITSET_MATCH_ANY);
    if (result == -1 && errno == ETIMEDOUT) return value();
    // 0: woken; EAGAIN: decided before we slept; EINTR: a signal. All: look again.
  }
}

void FutexParker::wake_address(std::atomic<std::uint32_t>* word) noexcept {
  futex(word, FUTEX_WAKE, 1, nullptr, 0);
}

}  // namespace tidegate::core
