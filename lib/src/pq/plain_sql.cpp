#include "pq/plain_sql.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace tidegate::pq {
namespace {

bool is_word_start(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (static_cast<unsigned char>(c) & 0x80U) != 0;
}
bool is_ascii_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// `word` is in lower case.
bool same_word(std::string_view text, std::string_view word) noexcept {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a | 0x20) : a) == b;
  });
}
template <std::size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& words) noexcept {
  return std::any_of(words.begin(), words.end(),
                     [text](std::string_view word) { return same_word(text, word); });
}

constexpr std::array<std::string_view, 11> kPlain{"select",    "insert", "update", "delete",
                                                  "with",      "values", "merge",  "begin",
                                                  "savepoint", "table",  "start"};
constexpr std::array<std::string_view, 7> kVerbs{"select", "insert", "update", "delete",
                                                 "merge",  "values", "table"};

// The tokens of a statement as the server's scanner finds them (documentation: 4.1). Where a token
// depends on settings, or on rules that are seldom needed, it is `unclear`.
class Tokens {
 public:
  enum class Kind : unsigned char { end, unclear, word, quoted_word, text, open, close, other };
  struct Token {
    Kind kind = Kind::end;
    std::string_view text{};
  };

  explicit Tokens(std::string_view sql) noexcept : left_(sql) {}

  Token next() noexcept {
    if (!skip_blanks()) return {.kind = Kind::unclear};
    if (left_.empty()) return {};
    const char c = left_.front();
    if (is_word_start(c)) return word();
    switch (c) {
      case '(': return {.kind = Kind::open, .text = take(1)};
      case ')': return {.kind = Kind::close, .text = take(1)};
      case '"': return quoted(Kind::quoted_word);
      case '\'': return quoted(Kind::text);
      case '$':  // a parameter; else a text in dollar quotes
        if (left_.size() < 2 || !is_ascii_digit(left_[1])) return {.kind = Kind::unclear};
        return {.kind = Kind::other, .text = take(2)};
      case '\\':  // an escape or not, as standard_conforming_strings says
        return {.kind = Kind::unclear};
      default: return {.kind = Kind::other, .text = take(1)};
    }
  }

 private:
  std::string_view take(std::size_t size) noexcept {
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(taken.size());
    return taken;
  }
  Token word() noexcept {
    std::size_t size = 1;
    while (size < left_.size() &&
           (is_word_start(left_[size]) || is_ascii_digit(left_[size]) || left_[size] == '$')) {
      ++size;
    }
    const std::string_view text = take(size);
    // U&'...' and U&"...", whose escapes may spell anything.
    const bool escaped = same_word(text, "u") && left_.starts_with('&');
    return {.kind = escaped ? Kind::unclear : Kind::word, .text = text};
  }
  // A doubled quote belongs to the text; here it ends one text and starts another.
  Token quoted(Kind kind) noexcept {
    const std::size_t end = left_.find(left_.front(), 1);
    if (end == left_.npos) return {.kind = Kind::unclear};
    const std::string_view text = take(end + 1);
    const bool clear = text.find('\\') == text.npos;
    return {.kind = clear ? kind : Kind::unclear, .text = text.substr(1, text.size() - 2)};
  }
  // False: a comment does not end.
  bool skip_blanks() noexcept {
    for (;;) {
      left_.remove_prefix(std::min(left_.find_first_not_of(" \t\n\r\f\v"), left_.size()));
      if (left_.starts_with("--")) {
        left_.remove_prefix(std::min(left_.find_first_of("\n\r"), left_.size()));
      } else if (!left_.starts_with("/*")) {
        return true;
      } else if (!skip_comment()) {
        return false;
      }
    }
  }
  // Comments nest.
  bool skip_comment() noexcept {
    int depth = 0;
    for (std::size_t i = 0; i + 1 < left_.size(); ++i) {
      const bool opens = left_[i] == '/' && left_[i + 1] == '*';
      if (!opens && !(left_[i] == '*' && left_[i + 1] == '/')) continue;
      ++i;
      depth += opens ? 1 : -1;
      if (depth > 0) continue;
      left_.remove_prefix(i + 1);
      return true;
    }
    return false;
  }

  std::string_view left_;
};

// Whether `word`, in lower case, is somewhere in `text`, in whatever case.
bool mentions(std::string_view text, std::string_view word) noexcept {
  return std::search(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a | 0x20) : a) == b;
         }) != text.end();
}

bool begins_with(std::string_view sql, std::string_view word) noexcept {
  const Tokens::Token first = Tokens(sql).next();
  return first.kind == Tokens::Kind::word && same_word(first.text, word);
}

// What decides how names are looked up: search_path, in which "$user" depends on the role.
bool mentions_lookup(std::string_view text) noexcept {
  return mentions(text, "search_path") || mentions(text, "schema") || mentions(text, "role") ||
         mentions(text, "authorization");
}

// Every set_config() has its setting's name written out, and none of these is for looking up names.
bool sets_other_things_only(std::string_view sql) noexcept {
  using Kind = Tokens::Kind;
  Tokens tokens(sql);
  for (Tokens::Token token = tokens.next(); token.kind != Kind::end; token = tokens.next()) {
    if (token.kind == Kind::unclear) return false;
    if (token.kind != Kind::word && token.kind != Kind::quoted_word) continue;
    if (!same_word(token.text, "set_config")) continue;
    if (tokens.next().kind != Kind::open) return false;
    const Tokens::Token name = tokens.next();
    if (name.kind != Kind::text || mentions_lookup(name.text)) return false;
    if (tokens.next().text != ",") return false;
  }
  return true;
}

bool is_session_lock(std::string_view word) noexcept {
  constexpr std::array<std::string_view, 4> kLocks{"pg_advisory_lock", "pg_advisory_lock_shared",
                                                   "pg_try_advisory_lock",
                                                   "pg_try_advisory_lock_shared"};
  return is_one_of(word, kLocks);
}

// What a statement leaves that begins with these two words.
Leaves left_by(std::string_view first, std::string_view second) noexcept {
  constexpr std::array<std::string_view, 10> kOfTheTransaction{
      "local", "transaction", "constraints",
      // and what PgBouncer keeps
      "application_name", "client_encoding", "datestyle", "intervalstyle", "names",
      "standard_conforming_strings", "timezone"};
  constexpr std::array<std::string_view, 3> kTemporary{"temp", "temporary", "local"};
  if (same_word(first, "listen")) return Leaves::subscription;
  if (same_word(first, "prepare") && !same_word(second, "transaction")) return Leaves::statement;
  if (same_word(first, "create") && is_one_of(second, kTemporary)) return Leaves::table;
  if (!same_word(first, "set") || is_one_of(second, kOfTheTransaction)) return Leaves::nothing;
  return same_word(second, "time") ? Leaves::nothing : Leaves::setting;  // SET TIME ZONE
}

}  // namespace

Leaves leaves_behind(std::string_view sql) noexcept {
  using Kind = Tokens::Kind;
  Tokens tokens(sql);
  std::array<std::string_view, 2> first{};
  std::size_t words = 0;  // of the statement so far
  Leaves pending = Leaves::nothing;
  for (Tokens::Token token = tokens.next(); token.kind != Kind::end; token = tokens.next()) {
    if (token.kind == Kind::unclear) break;
    if (token.text == ";" && token.kind == Kind::other) {
      if (pending != Leaves::nothing) return pending;
      words = 0;
    }
    if (token.kind != Kind::word && token.kind != Kind::quoted_word) continue;
    if (is_session_lock(token.text)) return Leaves::lock;
    if (words < first.size()) first[words] = token.text;
    if (++words == 2) pending = left_by(first[0], first[1]);
    // ON COMMIT DROP
    if (words > 2 && pending == Leaves::table && same_word(token.text, "drop")) {
      pending = Leaves::nothing;
    }
  }
  return pending;
}

bool changes_meaning(std::string_view tag, std::string_view sql) noexcept {
  constexpr std::array<std::string_view, 7> kChanges{"ALTER", "CREATE",  "DROP",  "DO",
                                                     "RESET", "DISCARD", "IMPORT"};
  const std::string_view command = tag.substr(0, tag.find(' '));
  if (std::find(kChanges.begin(), kChanges.end(), command) != kChanges.end()) return true;
  if (command == "SET") return sql.empty() || mentions_lookup(sql);
  const bool script = sql.find(';') != sql.npos;
  if (command != "SELECT" || (is_plain(sql) && !script)) return false;
  // CREATE TABLE AS has this tag, too.
  if (mentions(sql, "into") || (script ? mentions(sql, "create") : begins_with(sql, "create"))) {
    return true;
  }
  return (mentions(sql, "set_config") || mentions(sql, "u&\"")) && !sets_other_things_only(sql);
}

// INTO makes a table, unless it follows an INSERT or MERGE at the beginning of the statement, of a
// part in parentheses, or of what comes behind WITH: elsewhere these words may be names.
bool is_plain(std::string_view sql) noexcept {
  using Kind = Tokens::Kind;
  Tokens tokens(sql);
  Tokens::Token token = tokens.next();
  int depth = 0;
  for (; token.kind == Kind::open; token = tokens.next()) ++depth;
  if (token.kind != Kind::word || !is_one_of(token.text, kPlain)) return false;
  bool has_verb = !same_word(token.text, "with");  // outside of parentheses
  bool may_have_into = same_word(token.text, "insert") || same_word(token.text, "merge");
  for (;;) {
    const Kind before = token.kind;
    token = tokens.next();
    switch (token.kind) {
      case Kind::end: return true;
      case Kind::unclear: return false;
      case Kind::open: ++depth; break;
      case Kind::close: --depth; break;
      case Kind::quoted_word:
        if (same_word(token.text, "set_config")) return false;
        break;
      case Kind::word: {
        if (same_word(token.text, "set_config")) return false;
        if (same_word(token.text, "into") && !may_have_into) return false;
        const bool is_verb = is_one_of(token.text, kVerbs);
        const bool begins = before == Kind::open || (depth <= 0 && !has_verb && is_verb);
        has_verb = has_verb || (depth <= 0 && is_verb);
        may_have_into =
            begins && (same_word(token.text, "insert") || same_word(token.text, "merge"));
        continue;
      }
      case Kind::text:
      case Kind::other: break;
    }
    may_have_into = false;
  }
}

bool may_share_session(std::string_view sql) noexcept {
  using Kind = Tokens::Kind;
  constexpr std::array<std::string_view, 3> kOpensTransaction{"begin", "start", "savepoint"};
  Tokens tokens(sql);
  Tokens::Token first = tokens.next();
  while (first.kind == Kind::open) first = tokens.next();
  if (first.kind != Kind::word || is_one_of(first.text, kOpensTransaction)) return false;
  return is_plain(sql) && leaves_behind(sql) == Leaves::nothing;
}

}  // namespace tidegate::pq
