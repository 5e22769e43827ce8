#include "pq/connect/server_text.hpp"

#include <algorithm>

namespace tidegate::pq {
namespace {

constexpr std::string_view kBeforeCode = ":  ";
constexpr std::string_view kAfterCode = ": ";
constexpr std::size_t kCodeSize = 5;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_code_character(char c) noexcept { return is_digit(c) || (c >= 'A' && c <= 'Z'); }

// Every code of PostgreSQL has a digit in it; "ERROR" and other words have none.
bool is_code(std::string_view text) noexcept {
  return text.size() == kCodeSize && std::all_of(text.begin(), text.end(), is_code_character) &&
         std::any_of(text.begin(), text.end(), is_digit);
}

// Where the first code of a line begins, or npos. The first: what follows may quote anything.
std::size_t find_code(std::string_view line) noexcept {
  std::size_t at = line.find(kBeforeCode);
  while (at != line.npos) {
    const std::size_t code = at + kBeforeCode.size();
    const std::string_view rest = line.substr(code);
    if (is_code(rest.substr(0, kCodeSize)) &&
        rest.substr(std::min(kCodeSize, rest.size())).starts_with(kAfterCode)) {
      return code;
    }
    at = line.find(kBeforeCode, at + 1);
  }
  return line.npos;
}

}  // namespace

ServerText server_text(std::string_view message) {
  ServerText said{.sqlstate = {}, .text = std::string(message.substr(0, message.find('\n')))};
  while (!message.empty()) {
    const std::size_t end = message.find('\n');
    const std::string_view line = message.substr(0, end);
    message.remove_prefix(end == message.npos ? message.size() : end + 1);
    const std::size_t code = find_code(line);
    if (code != line.npos) {
      said = {.sqlstate = std::string(line.substr(code, kCodeSize)),
              .text = std::string(line.substr(code + kCodeSize + kAfterCode.size()))};
    }
  }
  return said;
}

ConnectFault fault_of(std::string_view sqlstate, ConnectSigns signs) noexcept {
  if (!sqlstate.empty()) {
    // Classes: invalid values, log-ins that are not allowed, words that have no meaning and names
    // that stand for nothing. Codes: feature not supported, no such database.
    constexpr std::string_view kRejections[] = {"22", "28", "42", "0A000", "3D000"};
    return std::any_of(std::begin(kRejections), std::end(kRejections),
                       [&](std::string_view code) { return sqlstate.starts_with(code); })
               ? ConnectFault::rejected
               : ConnectFault::unreachable;
  }
  const bool refused = signs.shaking_hands && !signs.peer_gone;
  return refused || signs.password_missing ? ConnectFault::rejected : ConnectFault::unreachable;
}

}  // namespace tidegate::pq
