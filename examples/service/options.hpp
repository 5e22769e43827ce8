// What the command line says.
#pragma once

#include <optional>
#include <string>

namespace service {

struct Options {
  enum class Mode { in_order, naive, stuck };
  Mode mode = Mode::in_order;
  unsigned seconds = 10;
  bool coroutines = false;
  bool inspect = false;
  unsigned threads = 16;
  unsigned pool = 4;
  std::string conninfo{};
};

// Nothing when the program is to end at once with `status`: help was asked for, or it is wrong.
std::optional<Options> parse(int argc, char** argv, int& status);

}  // namespace service
