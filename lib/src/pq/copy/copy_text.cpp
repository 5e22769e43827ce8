#include "pq/copy/copy_text.hpp"

#include <algorithm>
#include <cstring>

namespace tidegate::pq {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// The character behind the backslash; 0 for a character that needs no backslash.
constexpr char escape_of(char c) noexcept {
  switch (c) {
    case '\\': return '\\';
    case '\t': return 't';
    case '\n': return 'n';
    case '\r': return 'r';
    default: return 0;
  }
}

// The server writes these six; any other character behind a backslash is itself.
constexpr char unescaped(char c) noexcept {
  switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    default: return c;
  }
}

char* find(char* from, char* end, char wanted) noexcept {
  auto* found = static_cast<char*>(std::memchr(from, wanted, static_cast<std::size_t>(end - from)));
  return found != nullptr ? found : end;
}

std::size_t unescape(char* const from, const char* const end) noexcept {
  char* out = from;
  for (const char* in = from; in != end; ++in) {
    if (*in == '\\' && in + 1 != end) {
      *out++ = unescaped(*++in);
    } else {
      *out++ = *in;
    }
  }
  return static_cast<std::size_t>(out - from);
}

}  // namespace

void append_copy_text(std::string& out, std::string_view value) {
  std::size_t plain = 0;  // from here on nothing was appended yet
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char escape = escape_of(value[i]);
    if (escape == 0) continue;
    out.append(value, plain, i - plain);
    out += '\\';
    out += escape;
    plain = i + 1;
  }
  out.append(value, plain);
}

void append_copy_bytes(std::string& out, std::string_view value) {
  out += "\\\\x";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
}

// A tab inside a value is written as \t, so every real tab ends a value.
void split_copy_line(std::span<char> line, std::vector<CopyValue>& values) {
  values.clear();
  char* at = line.data();
  char* end = at + line.size();
  if (at != end && end[-1] == '\n') --end;
  const bool plain = find(at, end, '\\') == end;
  for (;;) {
    char* const stop = find(at, end, '\t');
    const std::string_view raw(at, static_cast<std::size_t>(stop - at));
    if (plain) {
      values.push_back({.text = raw});
    } else if (raw == "\\N") {
      values.push_back({.text = {}, .null = true});
    } else {
      values.push_back({.text = {at, unescape(at, stop)}});
    }
    if (stop == end) return;
    at = stop + 1;
  }
}

}  // namespace tidegate::pq
