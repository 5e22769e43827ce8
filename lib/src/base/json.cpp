#include "base/json.hpp"

#include <array>
#include <charconv>
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

std::string decimal(double value) {
  std::array<char, 64> text{};  // not printf: no locale may turn the point into a comma
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed).ptr;
  return {text.data(), end};
}

std::string decimal_seconds(std::chrono::nanoseconds value) {
  return decimal(std::chrono::duration<double>(value).count());
}

JsonObject& JsonObject::add(std::string_view key, std::string_view json) {
  if (!json_.empty()) json_ += ',';
  json_.append(json_string(key)).append(":").append(json);
  return *this;
}

}  // namespace tidegate::detail
