// Targets: functions that eat any bytes, and end the process where the library breaks a promise.
// A fuzzer feeds them (libfuzzer.cpp), and scripts/test what fuzzers have found (replay.cpp).
#pragma once

#include <string>
#include <string_view>

namespace tidegate::fuzz {

// stress/fuzz/NAME.cpp, each: what it holds the library to stands there.
void arrays(std::string_view bytes);
void conninfo(std::string_view bytes);
void duration(std::string_view bytes);
void rows(std::string_view bytes);
void text(std::string_view bytes);

// The promise that was broken, and the values that show it; ends the process.
[[noreturn]] void finding(std::string_view promise, std::string_view details = {});

inline void expect(bool holds, std::string_view promise, std::string_view details = {}) {
  if (!holds) finding(promise, details);
}

// Takes the input apart from its front; of what is not there it gives zeros.
class Input {
 public:
  explicit Input(std::string_view bytes) noexcept : rest_(bytes) {}

  unsigned char byte() noexcept {
    if (rest_.empty()) return 0;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return static_cast<unsigned char>(c);
  }
  // A number below `limit`, which is not 0.
  std::size_t below(std::size_t limit) noexcept {
    const std::size_t high = byte();
    return (high * 256 + byte()) % limit;
  }
  std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

// As C++ would spell it, so that a finding can be read on any terminal.
std::string printable(std::string_view bytes);

}  // namespace tidegate::fuzz
