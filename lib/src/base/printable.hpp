// Makes foreign text safe for a terminal or a log: text from a server, an application or a name
// goes through here on its way into what(), reports and debug text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::detail {

// How many bytes of one foreign text are shown.
inline constexpr std::size_t kShownText = std::size_t{8} * 1024;
// How many bytes of a whole what() are shown.
inline constexpr std::size_t kShownWhole = std::size_t{64} * 1024;

// The length of the UTF-8 sequence at the front; 0 = there is none (RFC 3629, section 4).
std::size_t utf8_length(std::string_view text) noexcept;

// For ASCII. Whether a char may be below 0 differs from machine to machine.
constexpr bool is_control(char c) noexcept {
  return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
}
// The code of a valid sequence above ASCII that acts instead of being visible: C1, the two line
// separators, what turns the direction of writing. 0 for any other.
std::uint32_t acting(std::string_view sequence) noexcept;

// How much of a text fits into `most` bytes and ends with a whole character.
std::size_t whole_prefix(std::string_view text, std::size_t most) noexcept;

// `text` with every character escaped that acts instead of being visible. Control characters become
// "\x1b" ("\n", "\r", "\t" for the usual three; "\u009b" above ASCII, as do those that turn the
// direction of writing or end a line), bytes that are not UTF-8 become "\xff". Newlines and tabs
// stay only if `lines` are kept. Of a text longer than `most` bytes the first ones are shown, up to
// a whole character, and then "... (N bytes more)". Promises: the result is valid UTF-8 with
// nothing in it that a second pass would escape.
enum class Lines : bool { escaped, kept };
std::string printable(std::string_view text, Lines lines, std::size_t most = kShownText);

// A text that must stay on its line.
inline std::string one_line(std::string_view text) { return printable(text, Lines::escaped); }
// A text of several lines; each line after the first stands behind `indent`.
std::string indented(std::string_view text, std::string_view indent);

}  // namespace tidegate::detail
