#include "base/json.hpp"

#include <cstdint>
#include <cstdio>

#include "base/printable.hpp"

namespace tidegate::detail {
namespace {

void append_escape(std::string& out, unsigned code) {
  char escape[8];
  std::snprintf(escape, sizeof escape, "\\u%04x", code);
  out += escape;
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (length == 1 && is_control(c)) {
      append_escape(out, static_cast<std::uint8_t>(c));
    } else if (const std::uint32_t acts = acting(text.substr(0, length))) {
      append_escape(out, acts);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

}  // namespace tidegate::detail
