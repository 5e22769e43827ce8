// Foreign text as a terminal or a log may have it: what a server, an application or a name says
// goes through here on its way into what(), reports and debug text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::detail {

// How many bytes of one foreign text are shown.
inline constexpr std::size_t kShownText = std::size_t{8} * 1024;
// How many bytes of a whole what() are.
inline constexpr std::size_t kShownWhole = std::size_t{64} * 1024;

// How many bytes the UTF-8 sequence at the front has; 0 = it is none (RFC 3629, section 4).
std::size_t utf8_length(std::string_view text) noexcept;

// Of ASCII. Whether a char may be below 0 differs from machine to machine.
constexpr bool is_control(char c) noexcept {
  return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
}
// The code of a valid sequence above ASCII that is not to be seen but done: C1, the two line
// separators, what turns the direction of writing. 0 for any other.
std::uint32_t acting(std::string_view sequence) noexcept;

// How much of a text fits into `most` bytes and ends with a whole character.
std::size_t whole_prefix(std::string_view text, std::size_t most) noexcept;

// `text` with everything escaped that is not to be seen but done: control characters stand as
// "\x1b" ("\n", "\r", "\t" for the usual three; "\u009b" above ASCII, as are those that turn the
// direction of writing or end a line), bytes that are no UTF-8 as "\xff". Only where `lines` are
// kept do newlines and tabs stay. Of a text longer than `most` bytes the first ones are shown, up
// to a whole character, and then "... (N bytes more)". Promises: what it gives is valid UTF-8 with
// nothing in it that a second pass would escape.
enum class Lines : bool { escaped, kept };
std::string printable(std::string_view text, Lines lines, std::size_t most = kShownText);

// A text that has to stay on its line.
inline std::string one_line(std::string_view text) { return printable(text, Lines::escaped); }
// A text of several lines, each after the first behind `indent`.
std::string indented(std::string_view text, std::string_view indent);

}  // namespace tidegate::detail
