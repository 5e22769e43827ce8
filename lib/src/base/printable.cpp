#include "base/printable.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace tidegate::detail {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t i) noexcept {
  return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
}

bool is_plain(char c) noexcept { return c >= 0x20 && c < 0x7F; }

void append_hex(std::string& out, const char* format, std::uint32_t value) {
  char escape[8];
  std::snprintf(escape, sizeof escape, format, static_cast<unsigned>(value));
  out += escape;
}

void append_control(std::string& out, char c) {
  switch (c) {
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default: append_hex(out, "\\x%02x", static_cast<std::uint8_t>(c));
  }
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  const auto tail = [&](std::size_t i) { return (byte_at(text, i) & 0xC0) == 0x80; };
  const std::uint8_t lead = byte_at(text, 0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && byte_at(text, 1) < 0xA0;
    const bool surrogate = lead == 0xED && byte_at(text, 1) >= 0xA0;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && byte_at(text, 1) < 0x90;
    const bool too_large = lead == 0xF4 && byte_at(text, 1) >= 0x90;
    return tail(1) && tail(2) && tail(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

// Bytes that are not UTF-8 may be cut anywhere.
std::size_t whole_prefix(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) return text.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, most); ++back) {
    const std::size_t length = utf8_length(text.substr(most - back));
    if (length != 0) return length > back ? most - back : most;
  }
  return most;
}

std::uint32_t acting(std::string_view sequence) noexcept {
  if (sequence.size() != 2 && sequence.size() != 3) return 0;
  std::uint32_t code = byte_at(sequence, 0) & (sequence.size() == 2 ? 0x1FU : 0x0FU);
  for (std::size_t i = 1; i < sequence.size(); ++i) {
    code = code << 6 | (byte_at(sequence, i) & 0x3FU);
  }
  const bool acts = (code >= 0x80 && code <= 0x9F) || (code >= 0x2028 && code <= 0x202E) ||
                    (code >= 0x2066 && code <= 0x2069);
  return acts ? code : 0;
}

std::string printable(std::string_view text, Lines lines, std::size_t most) {
  const std::size_t all = text.size();
  const std::size_t shown = whole_prefix(text, most);
  text = text.substr(0, shown);
  if (shown == all && std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);

  std::string out;
  out.reserve(shown + 32);
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      append_hex(out, "\\x%02x", static_cast<std::uint8_t>(c));
    } else if (lines == Lines::kept && (c == '\n' || c == '\t')) {
      out += c;
    } else if (length == 1 && is_control(c)) {
      append_control(out, c);
    } else if (const std::uint32_t acts = acting(text.substr(0, length))) {
      append_hex(out, "\\u%04x", acts);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  if (shown < all) out += "... (" + std::to_string(all - shown) + " bytes more)";
  return out;
}

std::string indented(std::string_view text, std::string_view indent) {
  std::string lines;
  for (const char c : printable(text, Lines::kept)) {
    lines += c;
    if (c == '\n') lines += indent;
  }
  return lines;
}

}  // namespace tidegate::detail
