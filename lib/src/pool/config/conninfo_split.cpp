#include "pool/config/conninfo_split.hpp"

#include <algorithm>
#include <utility>

namespace tidegate::detail {
namespace {

constexpr std::string_view kBlanks = " \t\n\v\f\r";  // isspace() in the C locale

constexpr bool is_blank(char c) { return kBlanks.find(c) != kBlanks.npos; }

// keyword = value ..., values bare with backslashes or in single quotes.
class KeywordSplitter {
 public:
  KeywordSplitter(std::string_view text, ConninfoSplit& out) : text_(text), out_(out) {}

  void run() {
    for (skip_blanks(); at_ < text_.size(); skip_blanks()) {
      if (!one_part()) return;
    }
  }

 private:
  bool one_part() {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] != '=' && !is_blank(text_[at_])) ++at_;
    const auto key = text_.substr(start, at_ - start);
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != '=') {
      return fault(start, key.find("://") == key.npos
                              ? "a keyword without '=' behind it"
                              : "a URI must begin with postgresql:// or postgres://");
    }
    ++at_;
    skip_blanks();
    const std::size_t value_start = at_;
    std::string value;
    if (at_ < text_.size() && text_[at_] == '\'') {
      if (!quoted(value)) return fault(value_start, "a quoted value without its closing quote");
    } else {
      bare(value);
    }
    out_.parts.push_back({.position = start + 1,
                          .text = text_.substr(start, at_ - start),
                          .key = std::string(key),
                          .value = std::move(value)});
    return true;
  }

  void bare(std::string& value) {
    while (at_ < text_.size() && !is_blank(text_[at_])) take(value);
  }

  bool quoted(std::string& value) {
    ++at_;
    while (at_ < text_.size() && text_[at_] != '\'') take(value);
    return at_++ < text_.size();
  }

  // One character of a value; a backslash gives the next character as it is, or nothing at the end.
  void take(std::string& value) {
    if (text_[at_] == '\\') ++at_;
    if (at_ < text_.size()) value += text_[at_++];
  }

  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }

  bool fault(std::size_t at, const char* rule) {
    out_.fault = ConninfoFault{at + 1, rule};
    return false;
  }

  std::string_view text_;
  ConninfoSplit& out_;
  std::size_t at_ = 0;
};

constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// scheme [user [: password] @] [host [: port] , ...] [/ db] [? key = value & ...]
class UriSplitter {
 public:
  UriSplitter(std::string_view text, std::size_t scheme, ConninfoSplit& out)
      : text_(text), out_(out), at_(scheme) {}

  void run() {
    out_.uri = true;
    out_.scheme = text_.substr(0, at_);
    // libpq looks for an '@' up to the first '/', past any '?'.
    const std::size_t user_end = text_.find_first_of("@/", at_);
    if (user_end != text_.npos && text_[user_end] == '@') {
      out_.userinfo = text_.substr(at_, user_end - at_);
      if (!check_percent(at_, user_end)) return;
      at_ = user_end + 1;
    }

    const std::size_t start = at_;
    std::size_t path = start;
    bool sound = hosts(path);
    const std::size_t query = std::min(text_.find('?', path), text_.size());
    out_.target = text_.substr(start, query - start);
    out_.doubtful = text_.find('@', path) != text_.npos;
    if (const auto at = out_.target.find('@'); at != out_.target.npos && sound) {
      sound = fault(start + at,
                    "'@', '/' and ':' in a user name or password are written %40, %2F, %3A");
    }
    if (!sound || !check_percent(start, query)) return;
    at_ = query + 1;
    while (at_ < text_.size()) {
      if (!one_parameter()) return;
    }
  }

 private:
  // Walks over the list of hosts; `end` becomes the '/' or '?' behind it, or the end.
  bool hosts(std::size_t& end) {
    std::size_t i = at_;
    for (;;) {
      if (i < text_.size() && text_[i] == '[') {
        const std::size_t close = text_.find(']', i);
        end = i;
        if (close == text_.npos) return fault(i, "a '[' without its ']'");
        if (close == i + 1) return fault(i, "an empty address in brackets");
        i = end = close + 1;
        if (i < text_.size() && std::string_view(":/?,").find(text_[i]) == std::string_view::npos) {
          return fault(i, "only ':', '/', '?' or ',' may follow a ']'");
        }
      } else {
        i = std::min(text_.find_first_of(":/?,", i), text_.size());
      }
      if (i < text_.size() && text_[i] == ':') {
        i = std::min(text_.find_first_of("/?,", i), text_.size());
      }
      end = i;
      if (i == text_.size() || text_[i] != ',') return true;
      ++i;
    }
  }

  bool one_parameter() {
    const std::size_t start = at_;
    const std::size_t end = std::min(text_.find('&', start), text_.size());
    const auto text = text_.substr(start, end - start);
    const auto equals = text.find('=');
    if (equals == text.npos) return fault(start, "a parameter without '='");
    const auto second = text.find('=', equals + 1);
    if (second != text.npos) return fault(start + second, "a second '=' in a parameter; write %3D");
    if (!check_percent(start, end)) return false;
    out_.parts.push_back({.position = start + 1,
                          .text = text,
                          .key = decoded(text.substr(0, equals)),
                          .value = decoded(text.substr(equals + 1))});
    at_ = end + 1;
    return true;
  }

  bool check_percent(std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      if (text_[i] != '%') continue;
      if (i + 2 >= to || hex_digit(text_[i + 1]) < 0 || hex_digit(text_[i + 2]) < 0) {
        return fault(i, "two hexadecimal digits must follow a '%'; the character itself is %25");
      }
      if (text_[i + 1] == '0' && text_[i + 2] == '0') return fault(i, "%00 is not allowed");
    }
    return true;
  }

  // Needs check_percent().
  static std::string decoded(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%') {
        plain += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
        i += 2;
      } else {
        plain += text[i];
      }
    }
    return plain;
  }

  bool fault(std::size_t at, const char* rule) {
    if (!out_.fault) out_.fault = ConninfoFault{at + 1, rule};
    return false;
  }

  std::string_view text_;
  ConninfoSplit& out_;
  std::size_t at_;
};

std::string quoted(std::string_view value) {
  if (!value.empty() && value.find_first_of(" \t\n\v\f\r'\\") == value.npos) {
    return std::string(value);
  }
  std::string text = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') text += '\\';
    text += c;
  }
  return text + '\'';
}

std::string percent_encoded(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string text;
  for (const char c : value) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("-._~:/,*").find(c) != std::string_view::npos;
    if (plain) {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return text;
}

}  // namespace

ConninfoSplit split_conninfo(std::string_view conninfo) {
  ConninfoSplit split;
  // libpq reads a C string: it would silently ignore what stands behind a NUL.
  if (const auto nul = conninfo.find('\0'); nul != conninfo.npos) {
    split.fault = ConninfoFault{nul + 1, "a NUL byte"};
    return split;
  }
  for (const std::string_view scheme : {"postgresql://", "postgres://"}) {
    if (!conninfo.starts_with(scheme)) continue;
    UriSplitter(conninfo, scheme.size(), split).run();
    return split;
  }
  KeywordSplitter(conninfo, split).run();
  return split;
}

std::string join_conninfo(const ConninfoSplit& split, const std::vector<std::string>& parts) {
  std::string text(split.scheme);
  if (split.userinfo) text.append(*split.userinfo).append("@");
  text += split.target;
  const char* separator = split.uri ? "?" : "";
  for (const auto& part : parts) {
    text.append(separator).append(part);
    separator = split.uri ? "&" : " ";
  }
  return text;
}

std::string write_part(bool uri, std::string_view key, std::string_view value) {
  return std::string(key) + '=' + (uri ? percent_encoded(value) : quoted(value));
}

}  // namespace tidegate::detail
