#include <tidegate/watch/query_text.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace tidegate {
namespace {

bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_number(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (static_cast<unsigned char>(c) & 0x80U) != 0;
}
bool is_part_of_word(char c) noexcept { return is_letter(c) || is_number(c) || c == '$'; }

std::string upper(std::string_view word) {
  std::string text(word);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c; });
  return text;
}

enum class Kind : unsigned char { end, blank, word, name, literal, rest, other };
struct Piece {
  Kind kind = Kind::end;
  std::string_view text{};
};

// The pieces of a text as the server's scanner finds them (PostgreSQL's documentation, 4.1), blanks
// and comments among them. `rest`: where this cannot tell, all that is left.
class Pieces {
 public:
  explicit Pieces(std::string_view sql) noexcept : left_(sql) {}

  Piece next() noexcept {
    if (left_.empty()) return {};
    const char c = left_.front();
    if (is_blank(c)) return take(Kind::blank, count(is_blank));
    if (left_.starts_with("--")) return take(Kind::blank, left_.find_first_of("\r\n"));
    if (left_.starts_with("/*")) return take(Kind::blank, comment());
    if (c == '\'') return take(Kind::literal, quoted(0, Escapes::unknown));
    if (c == '"') return take(Kind::name, quoted(0, Escapes::none));
    if (c == '$') return dollar();
    if (is_number(c) || (c == '.' && left_.size() > 1 && is_number(left_[1]))) return number();
    if (is_letter(c)) return word();
    return take(Kind::other, 1);
  }

 private:
  enum class Escapes : unsigned char { none, by_backslash, unknown };

  // Up to `size`; npos: the piece does not end, or not for certain.
  Piece take(Kind kind, std::size_t size) noexcept {
    if (size == left_.npos && kind != Kind::blank) kind = Kind::rest;
    const std::string_view text = left_.substr(0, size);
    left_.remove_prefix(text.size());
    return {.kind = kind, .text = text};
  }
  template <class Is>
  std::size_t count(Is&& is) const noexcept {
    return static_cast<std::size_t>(std::find_if_not(left_.begin(), left_.end(), is) -
                                    left_.begin());
  }
  // Comments nest.
  std::size_t comment() const noexcept {
    int depth = 0;
    for (std::size_t i = 0; i + 1 < left_.size(); ++i) {
      const bool opens = left_[i] == '/' && left_[i + 1] == '*';
      if (!opens && !(left_[i] == '*' && left_[i + 1] == '/')) continue;
      ++i;
      depth += opens ? 1 : -1;
      if (depth == 0) return i + 1;
    }
    return left_.npos;
  }
  // The end of what a quote at `at` begins; a doubled quote belongs to it.
  std::size_t quoted(std::size_t at, Escapes escapes) const noexcept {
    const char quote = left_[at];
    for (std::size_t i = at + 1; i < left_.size(); ++i) {
      if (left_[i] == '\\' && escapes == Escapes::unknown) return left_.npos;
      if (left_[i] == '\\' && escapes == Escapes::by_backslash) {
        ++i;
      } else if (left_[i] == quote) {
        if (i + 1 == left_.size() || left_[i + 1] != quote) return i + 1;
        ++i;
      }
    }
    return left_.npos;
  }
  // $1, or $tag$ ... $tag$.
  Piece dollar() noexcept {
    std::size_t size = 1;
    while (size < left_.size() && (is_letter(left_[size]) || is_number(left_[size]))) ++size;
    if (left_.size() > 1 && is_number(left_[1])) return take(Kind::other, size);
    if (size == left_.size() || left_[size] != '$') return take(Kind::other, 1);
    const std::string_view tag = left_.substr(0, size + 1);
    const std::size_t end = left_.find(tag, tag.size());
    return take(Kind::literal, end == left_.npos ? end : end + tag.size());
  }
  // 12, .5, 1.5e-3, 0xff, 1_000, and whatever letters follow.
  Piece number() noexcept {
    std::size_t size = 0;
    while (size < left_.size() && (is_part_of_word(left_[size]) || left_[size] == '.')) {
      const bool exponent =
          (left_[size] | 0x20) == 'e' && !left_.starts_with("0x") && !left_.starts_with("0X");
      ++size;
      if (exponent && size < left_.size() && (left_[size] == '-' || left_[size] == '+')) ++size;
    }
    return take(Kind::literal, size);
  }
  Piece word() noexcept {
    const std::size_t size = count(is_part_of_word);
    const std::string text = upper(left_.substr(0, std::min<std::size_t>(size, 2)));
    const bool quote = size < left_.size() && left_[size] == '\'';
    if (size == 1 && quote && text == "E") {
      return take(Kind::literal, quoted(size, Escapes::by_backslash));
    }
    if (size == 1 && quote && (text == "B" || text == "X" || text == "N")) {
      return take(Kind::literal, quoted(size, Escapes::unknown));
    }
    if (text == "U" && size == 1 && left_.size() > 2 && left_[1] == '&' &&
        (left_[2] == '\'' || left_[2] == '"')) {
      return take(left_[2] == '"' ? Kind::name : Kind::literal, quoted(2, Escapes::none));
    }
    return take(Kind::word, size);
  }

  std::string_view left_;
};

// The pieces without blanks.
Piece next_of(Pieces& pieces) noexcept {
  Piece piece = pieces.next();
  while (piece.kind == Kind::blank) piece = pieces.next();
  return piece;
}

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) noexcept {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 5> kVerbs{"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"};
constexpr std::array<std::string_view, 6> kBeforeTable{"FROM",   "JOIN",  "INTO",
                                                       "UPDATE", "TABLE", "USING"};
// Words that may stand between one of these and the table's name.
constexpr std::array<std::string_view, 6> kBetween{"ONLY", "LATERAL", "IF",
                                                   "NOT",  "EXISTS",  "CONCURRENTLY"};
// Functions with a FROM of their own between their parentheses.
constexpr std::array<std::string_view, 4> kWithFrom{"EXTRACT", "SUBSTRING", "TRIM", "OVERLAY"};

}  // namespace

std::string without_literals(std::string_view sql) {
  std::string text;
  text.reserve(sql.size());
  Pieces pieces(sql);
  bool blank = false;
  for (Piece piece = pieces.next(); piece.kind != Kind::end; piece = pieces.next()) {
    if (piece.kind == Kind::blank) {
      blank = true;
      continue;
    }
    if (blank && !text.empty()) text += ' ';
    blank = false;
    const bool hidden = piece.kind == Kind::literal || piece.kind == Kind::rest;
    text += hidden ? std::string_view("?") : piece.text;
  }
  return text;
}

std::string operation_of(std::string_view sql) {
  Pieces pieces(sql);
  Piece piece = next_of(pieces);
  while (piece.text == "(") piece = next_of(pieces);
  return piece.kind == Kind::word ? upper(piece.text) : std::string();
}

std::string summary_of(std::string_view sql) {
  constexpr std::size_t kMost = 255;
  std::string summary = operation_of(sql);
  const bool writes_first = is_one_of(summary, kVerbs);
  if (summary == "WITH") summary.clear();
  Pieces pieces(sql);
  bool first = true;
  std::string before;  // the word in front
  int hidden = 0;      // parentheses of a function with a FROM of its own
  Piece piece = next_of(pieces);
  const auto add = [&summary](std::string_view part) {
    if (summary.size() + part.size() + 1 > kMost) return;
    if (!summary.empty()) summary += ' ';
    summary += part;
  };
  while (piece.kind != Kind::end && piece.kind != Kind::rest) {
    const std::string word = piece.kind == Kind::word ? upper(piece.text) : std::string();
    if (piece.text == "(" && (hidden > 0 || is_one_of(before, kWithFrom))) ++hidden;
    if (piece.text == ")" && hidden > 0) --hidden;
    const bool is_distinct_from = word == "FROM" && before == "DISTINCT";
    // DO UPDATE, FOR UPDATE, ON UPDATE: no table follows.
    const bool is_clause = word == "UPDATE" &&
                           (before == "DO" || before == "FOR" || before == "ON" || before == "KEY");
    if (is_one_of(word, kVerbs) && !is_clause) {
      if (!(first && writes_first)) add(word);
      first = false;
    }
    before = word;
    if (hidden > 0 || is_distinct_from || is_clause || !is_one_of(word, kBeforeTable)) {
      piece = next_of(pieces);
      continue;
    }
    for (bool more = true; more;) {
      piece = next_of(pieces);
      while (piece.kind == Kind::word && is_one_of(upper(piece.text), kBetween)) {
        piece = next_of(pieces);
      }
      if (piece.kind != Kind::word && piece.kind != Kind::name) break;
      std::string table;
      for (;;) {
        table += piece.text;
        piece = next_of(pieces);
        if (piece.text != ".") break;
        table += '.';
        piece = next_of(pieces);
      }
      if (is_one_of(upper(table), kVerbs) || upper(table) == "SET") break;  // a keyword, no name
      add(table);
      before.clear();
      // An alias, and a comma before the next one.
      while (piece.kind == Kind::word && upper(piece.text) == "AS") piece = next_of(pieces);
      if (piece.kind == Kind::name) piece = next_of(pieces);
      const bool from = word == "FROM";
      Pieces ahead = pieces;
      if (from && piece.kind == Kind::word && next_of(ahead).text == ",") {
        piece = next_of(pieces);
      }
      more = from && piece.text == ",";
    }
  }
  return summary;
}

}  // namespace tidegate
