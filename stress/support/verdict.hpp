// The end of a run: what it prints, and its exit status.
#pragma once

#include <exception>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tidegate::stress {

inline constexpr int kExitUsage = 2;
inline constexpr int kExitRace = 66;  // ThreadSanitizer's own
inline constexpr int kExitInvariant = 70;
inline constexpr int kExitHang = 75;

// The lines that every end of this run shows: seed, replay command, and where the artefacts are.
// Also makes an assertion of the library, a crash and a finding of a sanitizer show them.
void set_replay(std::uint64_t seed, const std::string& command);
// From here on a failure shows this seed, too, and the command that repeats just this scenario.
// Not while another thread may fail.
void set_replay_alone(std::uint64_t seed, const std::string& command);
// "PASS", the seed, the replay command.
void print_pass();

// End the process on the spot, so that what went wrong is not covered by what follows from it.
[[noreturn]] void fail_invariant(std::string_view invariant, const std::string& what);
[[noreturn]] void fail_hang(const std::string& what);
// The machine does not give what the scenario needs: no finding, and no half run either.
[[noreturn]] void fail_setup(const std::string& what);
[[noreturn]] void fail_exception(const char* what);

// Calls what no exception is to leave. One that does ends the process on the spot: others may be in
// loops that end when this does, and nobody could join them.
template <class F>
void or_fail(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    fail_exception(e.what());
  } catch (...) {
    fail_exception("of an unknown type");
  }
}

// A part of what was seen. One that can be called tells how things are when it is called: arguments
// are evaluated in any order, and so as they were before something was awaited.
template <class Part>
void tell(std::ostream& out, const Part& part) {
  if constexpr (std::is_invocable_v<const Part&>) {
    out << part();
  } else {
    out << part;
  }
}

// The ledger's assertion: an invariant of docs/core.md by name, and what was seen instead.
template <class... Parts>
void require(bool holds, std::string_view invariant, const Parts&... parts) {
  if (holds) [[likely]] {
    return;
  }
  std::ostringstream what;
  (tell(what, parts), ...);
  fail_invariant(invariant, what.str());
}

}  // namespace tidegate::stress
