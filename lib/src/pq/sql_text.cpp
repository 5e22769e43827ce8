#include "pq/sql_text.hpp"

#include <cstddef>

namespace tidegate::pq {
namespace {

constexpr std::string_view kBlanks = " \t\n\r\f\v";

// Comments nest (documentation: 4.1.5). A comment without an end is all of the rest.
std::size_t end_of_comment(std::string_view sql) noexcept {
  int depth = 0;
  for (std::size_t i = 0; i + 1 < sql.size(); ++i) {
    const std::string_view two = sql.substr(i, 2);
    if (two == "/*") {
      ++depth;
      ++i;
    } else if (two == "*/") {
      ++i;
      if (--depth == 0) return i + 1;
    }
  }
  return sql.size();
}

void skip(std::string_view& sql, std::size_t size) noexcept {
  sql.remove_prefix(size < sql.size() ? size : sql.size());
}

bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}

}  // namespace

bool is_copy_statement(std::string_view sql) noexcept {
  for (;;) {
    skip(sql, sql.find_first_not_of(kBlanks));
    if (sql.starts_with("--")) {
      skip(sql, sql.find_first_of("\n\r"));  // the server ends a comment at either
    } else if (sql.starts_with("/*")) {
      skip(sql, end_of_comment(sql));
    } else if (sql.starts_with(';')) {
      skip(sql, 1);  // an empty statement before it
    } else {
      break;
    }
  }
  constexpr std::string_view kCopy = "copy";
  if (sql.size() < kCopy.size()) return false;
  for (std::size_t i = 0; i < kCopy.size(); ++i) {
    if ((sql[i] | 0x20) != kCopy[i]) return false;
  }
  return sql.size() == kCopy.size() || !is_word(sql[kCopy.size()]);
}

void append_identifier(std::string& out, std::string_view name) {
  out += '"';
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace tidegate::pq
