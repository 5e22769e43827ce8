#include <tidegate/lifecycle/signal_waiter.hpp>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <tidegate/base/error.hpp>

#include "base/wait.hpp"

namespace tidegate {
namespace {

constexpr int kSignals = 64;
// Which signals the SignalWaiters of this process have: signal s is bit s - 1.
std::atomic<std::uint64_t> taken{0};

std::string name_of(int number) {
  const char* abbreviation = ::sigabbrev_np(number);
  return abbreviation != nullptr ? "SIG" + std::string(abbreviation) : std::to_string(number);
}

std::uint64_t bits_of(std::initializer_list<int> signals, Location where) {
  std::uint64_t bits = 0;
  for (const int number : signals) {
    if (number < 1 || number > kSignals || number == SIGKILL || number == SIGSTOP) {
      throw UsageError("SignalWaiter: " + name_of(number) + " is no signal that can be waited for",
                       where);
    }
    bits |= std::uint64_t{1} << (number - 1);
  }
  if (bits == 0) throw UsageError("SignalWaiter: no signal is given", where);
  return bits;
}

std::string names_of(std::uint64_t bits) {
  std::string names;
  for (int number = 1; number <= kSignals; ++number) {
    if ((bits >> (number - 1) & 1) == 0) continue;
    names.append(names.empty() ? "" : ", ").append(name_of(number));
  }
  return names;
}

// The value of a line in /proc/self/task/<id>/status; empty when the thread has gone.
std::string status_of(const std::filesystem::path& task, std::string_view key) {
  std::ifstream status(task / "status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(key)) continue;
    const auto value = line.find_first_not_of(": \t", key.size());
    return value == std::string::npos ? std::string() : line.substr(value);
  }
  return {};
}

// Needs: the calling thread blocks the signals.
void require_blocked_everywhere(std::uint64_t bits, Location where) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string mask = status_of(task.path(), "SigBlk");
    if (mask.empty()) continue;
    const std::uint64_t open = bits & ~std::stoull(mask, nullptr, 16);
    if (open == 0) continue;
    throw UsageError("SignalWaiter: the thread \"" + status_of(task.path(), "Name") + "\" (" +
                         task.path().filename().string() + ") does not block " + names_of(open) +
                         ", so it would be delivered there; make the SignalWaiter before any "
                         "thread is started, in the first line of main()",
                     where);
  }
}

class Taken {
 public:
  Taken(std::uint64_t bits, Location where) : bits_(bits) {
    std::uint64_t before = taken.load();
    do {
      if ((before & bits) != 0) {
        throw UsageError("SignalWaiter: another one waits for " + names_of(before & bits) +
                             " already; there can be one for each signal",
                         where);
      }
    } while (!taken.compare_exchange_weak(before, before | bits));
  }
  ~Taken() {
    if (bits_ != 0) taken.fetch_and(~bits_);
  }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  void keep() noexcept { bits_ = 0; }

 private:
  std::uint64_t bits_;
};

std::uint64_t bits_of(const sigset_t& set) noexcept {
  std::uint64_t bits = 0;
  for (int number = 1; number <= kSignals; ++number) {
    if (::sigismember(&set, number) == 1) bits |= std::uint64_t{1} << (number - 1);
  }
  return bits;
}

}  // namespace

SignalWaiter::SignalWaiter(std::initializer_list<int> signals, Location where) {
  const std::uint64_t bits = bits_of(signals, where);
  Taken mine(bits, where);
  ::sigemptyset(&set_);
  for (const int number : signals) ::sigaddset(&set_, number);
  ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  try {
    require_blocked_everywhere(bits, where);
    signals_ = detail::FileDescriptor(::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) throw std::system_error(errno, std::generic_category(), "tidegate: signalfd");
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    throw;
  }
  mine.keep();
}

SignalWaiter::~SignalWaiter() {
  sigset_t ours = set_;
  for (int number = 1; number <= kSignals; ++number) {
    if (::sigismember(&before_, number) == 1) ::sigdelset(&ours, number);
  }
  // Signals that nobody has waited for were meant for this object: a program that has just stopped
  // in order must not die of the second Ctrl-C.
  const timespec at_once{};
  while (::sigtimedwait(&ours, nullptr, &at_once) > 0) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
  taken.fetch_and(~bits_of(set_));
}

std::optional<int> SignalWaiter::wait(Deadline deadline, std::stop_token stop) {
  detail::FileDescriptor stopped;
  if (stop.stop_possible()) {
    stopped = detail::FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stopped) throw std::system_error(errno, std::generic_category(), "tidegate: eventfd");
  }
  const std::stop_callback on_stop(stop, [&stopped] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t size = ::write(stopped.get(), &one, sizeof one);
  });
  for (;;) {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      return static_cast<int>(info.ssi_signo);
    }
    if (stop.stop_requested() || deadline.passed()) return std::nullopt;
    short seen = 0;
    detail::wait_for(signals_.get(), POLLIN, stopped ? stopped.get() : -1, deadline, seen);
  }
}

}  // namespace tidegate
