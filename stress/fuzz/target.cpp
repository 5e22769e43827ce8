#include "target.hpp"

#include <cstdio>
#include <cstdlib>

namespace tidegate::fuzz {

std::string printable(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') text += '\\';
    if (c >= ' ' && c < 127) {
      text += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\%03o", static_cast<unsigned>(c) & 0xFFU);
      text += escape;
    }
  }
  return text + '"';
}

void finding(std::string_view promise, std::string_view details) {
  std::fprintf(stderr, "finding: %.*s\n%.*s\n", static_cast<int>(promise.size()), promise.data(),
               static_cast<int>(details.size()), details.data());
  std::abort();
}

}  // namespace tidegate::fuzz
