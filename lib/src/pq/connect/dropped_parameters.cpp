#include "pq/connect/dropped_parameters.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "pq/connect/effective_options.hpp"

namespace tidegate::pq {
namespace {

// The parameters that a server reports, that `options` may set, and of which we know how one value
// may be spelled in several ways.
constexpr std::array<const char*, 7> kNames = {"client_encoding", "application_name",
                                               "TimeZone",        "IntervalStyle",
                                               "DateStyle",       "default_transaction_read_only",
                                               "search_path"};

std::string lower(std::string_view text) {
  std::string low(text);
  for (char& c : low) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return low;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 31 && c < 127; });
}

// Whether a server reads the value as a true boolean: "true", "1", ...
bool is_on(const std::string& low) {
  return low == "on" || low == "true" || low == "yes" || low == "1" || low == "t" || low == "y";
}

std::string without_blanks(std::string_view text) {
  std::string rest = lower(text);
  std::erase(rest, ' ');
  return rest;
}

bool means(std::string_view name, const std::string& asked, const std::string& reported) {
  if (name == "client_encoding") {
    // "auto" takes the encoding from the locale, which is not the server's.
    return asked == "auto" ||
           pg_char_to_encoding(asked.c_str()) == pg_char_to_encoding(reported.c_str());
  }
  if (name == "application_name") {
    constexpr std::size_t kMost = 63;  // length of a name; the rest is cut, non-ASCII is replaced
    return !is_ascii(asked) || reported.starts_with(std::string_view(asked).substr(0, kMost));
  }
  if (name == "default_transaction_read_only") return is_on(lower(asked)) == (reported == "on");
  if (name == "DateStyle") {
    // "ISO" is reported as "ISO, MDY". The order has names of its own.
    const std::string style = without_blanks(asked);
    const std::string first = style.substr(0, style.find(','));
    const bool is_style =
        first == "iso" || first == "sql" || first == "postgres" || first == "german";
    return !is_style || without_blanks(reported).starts_with(first);
  }
  if (name == "TimeZone") {
    // Offsets and POSIX rules are reported in other words; only names of the zone database compare.
    const bool is_name = asked.find('/') != std::string::npos || lower(asked) == "utc";
    return !is_name || lower(asked) == lower(reported);
  }
  return without_blanks(asked) == without_blanks(reported);
}

// The last "-c name=value" or "--name=value" of that name, read as the server does: a backslash
// keeps the character behind it.
std::optional<std::string> option_of(std::string_view options, std::string_view name) {
  std::vector<std::string> words;
  std::string word;
  bool any = false;
  for (std::size_t i = 0; i <= options.size(); ++i) {
    const bool ends =
        i == options.size() || options[i] == ' ' || options[i] == '\t' || options[i] == '\n';
    if (ends) {
      if (any) words.push_back(std::move(word));
      word.clear();
      any = false;
      continue;
    }
    if (options[i] == '\\' && i + 1 < options.size()) ++i;
    word += options[i];
    any = true;
  }
  std::optional<std::string> found;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view setting = words[i];
    if (setting == "-c" && i + 1 < words.size()) {
      setting = words[++i];
    } else if (setting.starts_with("-c") || setting.starts_with("--")) {
      setting.remove_prefix(2);
    } else {
      continue;
    }
    const std::size_t equals = setting.find('=');
    if (equals == std::string_view::npos) continue;
    std::string its_name = lower(setting.substr(0, equals));
    std::replace(its_name.begin(), its_name.end(), '-', '_');
    if (its_name == lower(name)) found = std::string(setting.substr(equals + 1));
  }
  return found;
}

}  // namespace

std::vector<DroppedParameter> dropped_parameters(
    const std::vector<std::pair<std::string, std::string>>& params, const Connection& connection) {
  std::vector<DroppedParameter> dropped;
  const EffectiveOptions effective(params);
  const std::string options(effective["options"]);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string name = kNames[i];
    // A keyword is sent besides the options, and wins.
    std::string asked;
    if (i < 2) asked = effective[name];
    if (asked.empty() && !options.empty()) asked = option_of(options, name).value_or("");
    if (asked.empty()) continue;
    std::optional<std::string> reported = connection.parameter_status(name);
    if (!reported || means(name, asked, *reported)) continue;
    dropped.push_back({.number = static_cast<unsigned>(i),
                       .name = name,
                       .asked = std::move(asked),
                       .reported = std::move(*reported)});
  }
  return dropped;
}

}  // namespace tidegate::pq
