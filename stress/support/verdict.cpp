#include "support/verdict.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>

#include "support/artefacts.hpp"
#include "support/sanitizers.hpp"

namespace tidegate::stress {
namespace {

// Written while nobody else can fail; read in signal handlers.
std::string last_lines;
std::string alone;
std::atomic<bool> ending{false};

void write_out(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// The first one to fail ends the process; those that fail because of it stop here.
[[noreturn]] void end(int status, std::string_view what) noexcept {
  if (ending.exchange(true)) {
    for (;;) ::pause();
  }
  write_out(what);
  write_out("FAIL\n");
  write_out(alone);
  write_out(last_lines);
  write_report("FAIL", status, what);
  // Not _exit(): under ThreadSanitizer that looks for threads that still run, and there are some.
  for (;;) ::syscall(SYS_exit_group, status);
}

// The library's own assertions have printed what they saw.
void on_abort(int) { end(kExitInvariant, "an assertion of the library failed (above)\n"); }

// A sanitizer has a report of its own to make of these.
void on_crash(int signal) {
  end(kExitInvariant, signal == SIGBUS ? "SIGBUS: a crash\n" : "SIGSEGV: a crash\n");
}

void on_sanitizer_death() {
  if (ending.exchange(true)) return;
  write_out("FAIL\n");
  write_out(alone);
  write_out(last_lines);
  write_report("FAIL", kThreadSanitizer ? kExitRace : kExitInvariant, "a sanitizer's finding");
}

}  // namespace

void set_replay(std::uint64_t seed, const std::string& command) {
  last_lines = "seed " + std::to_string(seed) + "\nreplay: " + command + "\n" + artefacts_line();
  struct sigaction action{};
  action.sa_handler = on_abort;
  ::sigaction(SIGABRT, &action, nullptr);
  if (!kSanitized) {
    action.sa_handler = on_crash;
    ::sigaction(SIGSEGV, &action, nullptr);
    ::sigaction(SIGBUS, &action, nullptr);
  }
  on_sanitizer_finding(on_sanitizer_death);
}

void set_replay_alone(std::uint64_t seed, const std::string& command) {
  alone = "seed of this round " + std::to_string(seed) + "\nthis scenario alone: " + command + "\n";
}

void print_pass() {
  write_out("PASS\n");
  write_out(last_lines);
  write_report("PASS", 0, "");
}

void fail_invariant(std::string_view invariant, const std::string& what) {
  end(kExitInvariant, std::string(invariant) + " broken: " + what + "\n");
}

void fail_hang(const std::string& what) { end(kExitHang, "hang: " + what + "\n"); }

void fail_setup(const std::string& what) { end(kExitUsage, "this cannot be run: " + what + "\n"); }
void fail_exception(const char* what) {
  end(kExitInvariant, std::string("an exception has left the scenario: ") + what + "\n");
}

}  // namespace tidegate::stress
