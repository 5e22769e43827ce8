// Texts on their way out: JSON strings, the text format of COPY, names in statements, statements in
// error texts; and what a failed connect says.
#include <tidegate/pq/errors.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "pq/connect/server_text.hpp"
#include "pq/copy/copy_text.hpp"
#include "pq/sql_text.hpp"
#include "target.hpp"

namespace tidegate::fuzz {
namespace {

// ---- UTF-8, by the table of the Unicode Standard (3.9, table 3-7) ------------------------------

struct Form {
  std::size_t size;
  std::array<std::pair<std::uint8_t, std::uint8_t>, 4> ranges;
};
constexpr std::pair<std::uint8_t, std::uint8_t> kTail{0x80, 0xBF};
constexpr Form kForms[] = {
    {1, {{{0x00, 0x7F}}}},
    {2, {{{0xC2, 0xDF}, kTail}}},
    {3, {{{0xE0, 0xE0}, {0xA0, 0xBF}, kTail}}},
    {3, {{{0xE1, 0xEC}, kTail, kTail}}},
    {3, {{{0xED, 0xED}, {0x80, 0x9F}, kTail}}},
    {3, {{{0xEE, 0xEF}, kTail, kTail}}},
    {4, {{{0xF0, 0xF0}, {0x90, 0xBF}, kTail, kTail}}},
    {4, {{{0xF1, 0xF3}, kTail, kTail, kTail}}},
    {4, {{{0xF4, 0xF4}, {0x80, 0x8F}, kTail, kTail}}},
};

// The size of the character at the front, or 0.
std::size_t character(std::string_view text) {
  for (const Form& form : kForms) {
    if (text.size() < form.size) continue;
    const auto fits = [&](std::size_t i) {
      const auto byte = static_cast<std::uint8_t>(text[i]);
      return form.ranges[i].first <= byte && byte <= form.ranges[i].second;
    };
    bool all = true;
    for (std::size_t i = 0; i < form.size; ++i) all = all && fits(i);
    if (all) return form.size;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

// Whether a terminal only shows it: no control characters, C1 and DEL included.
bool nothing_to_do(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7F) return false;
    if (byte == 0xC2 && i + 1 < text.size() && static_cast<std::uint8_t>(text[i + 1]) < 0xA0) {
      return false;
    }
  }
  return true;
}

// Each byte that is no part of a character becomes U+FFFD.
std::string repaired(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = character(text);
    out += size == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

// ---- JSON --------------------------------------------------------------------------------------

// As UTF-8, up to U+FFFF.
void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
  } else {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// What a JSON string of RFC 8259 stands for, as far as json_string() uses it; nullopt when it is no
// such string.
std::optional<std::string> unquoted(std::string_view json) {
  if (json.size() < 2 || json.front() != '"' || json.back() != '"') return std::nullopt;
  json = json.substr(1, json.size() - 2);
  std::string out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"' || static_cast<unsigned char>(c) < 0x20) return std::nullopt;
    if (c != '\\') {
      out += c;
      continue;
    }
    if (++i == json.size()) return std::nullopt;
    if (json[i] == 'n') {
      out += '\n';
    } else if (json[i] == '"' || json[i] == '\\') {
      out += json[i];
    } else if (json[i] == 'u' && i + 4 < json.size()) {
      const int code = std::stoi(std::string(json.substr(i + 1, 4)), nullptr, 16);
      append_utf8(out, static_cast<std::uint32_t>(code));
      i += 4;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

void check_json(std::string_view bytes) {
  const std::string json = detail::json_string(bytes);
  expect(is_utf8(json), "JSON is UTF-8", printable(bytes));
  expect(nothing_to_do(json), "JSON is nothing that a terminal does", printable(bytes));
  expect(unquoted(json) == repaired(bytes), "a JSON string says what it was given",
         printable(bytes));
}

// ---- COPY --------------------------------------------------------------------------------------

using Values = std::vector<std::optional<std::string>>;

Values split(std::string line) {
  std::vector<pq::CopyValue> found;
  pq::split_copy_line(line, found);
  Values values;
  for (const auto& value : found) {
    value.null ? values.emplace_back() : values.emplace_back(std::string(value.text));
  }
  return values;
}

std::string joined(const Values& values) {
  std::string line;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) line += '\t';
    values[i] ? pq::append_copy_text(line, *values[i]) : void(line += "\\N");
  }
  return line + '\n';
}

void check_copy(std::string_view bytes) {
  const std::string shown = printable(bytes);
  // Any line of a server: as many values as it has columns, and the same line again.
  const Values values = split(std::string(bytes));
  const bool newline_ends_it = !bytes.empty() && bytes.back() == '\n';
  const auto tabs = std::count(bytes.begin(), bytes.end(), '\t');
  expect(values.size() == static_cast<std::size_t>(tabs) + 1, "each tab of a line ends a value",
         shown);
  const std::string line = joined(values);
  const auto inside = std::string_view(line).substr(0, line.size() - 1);
  expect(inside.find_first_of("\n\r") == inside.npos, "no value breaks a line", shown);
  expect(split(line) == values, "the values of a line make the line again", shown);
  // One value with everything in it.
  const std::string whole(newline_ends_it ? bytes.substr(0, bytes.size() - 1) : bytes);
  expect(split(joined({whole, std::nullopt, whole})) == Values{whole, std::nullopt, whole},
         "what is written is read back", shown);
  std::string hex;
  pq::append_copy_bytes(hex, bytes);
  expect(hex.size() == 3 + 2 * bytes.size() && split(hex).size() == 1, "bytes are one value",
         shown);
}

// ---- statements and reports --------------------------------------------------------------------

void check_names(std::string_view bytes) {
  std::string name;
  pq::append_identifier(name, bytes);
  std::string back;
  bool sound = name.size() >= 2 && name.front() == '"' && name.back() == '"';
  for (std::size_t i = 1; sound && i + 1 < name.size(); ++i) {
    if (name[i] == '"' && (++i + 1 >= name.size() || name[i] != '"')) sound = false;
    back += name[i];
  }
  expect(sound && back == bytes, "a quoted name is that name, and ends where it ends",
         printable(bytes));
}

void check_statements(std::string_view bytes) {
  const bool copies = pq::is_copy_statement(bytes);
  expect(pq::is_copy_statement(" -- a comment\n/* another */ ;" + std::string(bytes)) == copies,
         "comments in front change nothing", printable(bytes));
  const std::string all(bytes);
  const QueryError error({.message = all, .detail = all, .statement = all});
  expect(is_utf8(error.what()), "an error text is UTF-8, and cut between characters",
         printable(bytes));
  std::string tabs_apart(error.what());
  std::erase(tabs_apart, '\t');
  expect(nothing_to_do(tabs_apart), "an error text is nothing that a terminal does",
         printable(bytes));
  expect(error.message() == all, "its fields are as they came", printable(bytes));
}

void check_server_text(std::string_view bytes) {
  const pq::ServerText said = pq::server_text(bytes);
  expect(said.text.find('\n') == said.text.npos, "what a server says is one line",
         printable(bytes));
  expect(said.sqlstate.empty() || said.sqlstate.size() == 5, "an SQLSTATE has five characters",
         printable(bytes));
  static_cast<void>(pq::fault_of(said.sqlstate, {}));
}

}  // namespace

void text(std::string_view bytes) {
  check_json(bytes);
  check_copy(bytes);
  check_names(bytes);
  check_statements(bytes);
  check_server_text(bytes);
}

}  // namespace tidegate::fuzz
