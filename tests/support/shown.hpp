// What may go to a terminal or a log as it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/printable.hpp"

namespace tidegate::test {

// Everything that has ever been done to a terminal, a log or a parser by a text: escapes that set
// its title and clear it, an early end, a line of its own, C1 in UTF-8, bytes of LATIN1, half a
// character, the other direction of writing.
inline const std::string kNasty =
    std::string("\x1b]0;owned\x07\x1b[2J") + '\0' + "a\nFATAL: forged\r\n\tb\x7f\x08 \xc2\x9b" +
    "31m \xfc\xff \xe2\x80 \xe2\x80\xae \xe2\x80\xa8 \xc3\xa4 \"q\" \\ \xed\xa0\x80";

// What is wrong with it, or nothing. Newlines are the layout's.
inline std::string why_unfit(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = detail::utf8_length(text);
    if (length == 0) return "no UTF-8 before: " + std::string(text);
    const auto byte = static_cast<std::uint8_t>(text.front());
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
      return "a control character before: " + std::string(text.substr(1));
    }
    const std::string_view character = text.substr(0, length);
    if (length == 2 && character >= "\xc2\x80" && character <= "\xc2\x9f") return "C1";
    if (character == "\xe2\x80\xae" || character == "\xe2\x80\xa8") return "it acts";
    text.remove_prefix(length);
  }
  return {};
}

}  // namespace tidegate::test
