#include "pool/config/config_check.hpp"

#include <algorithm>
#include <charconv>

#include "base/printable.hpp"
#include "pool/config/config_keys.hpp"
#include "pool/config/nearest.hpp"
#include "pq/connect/option_check.hpp"

namespace tidegate::detail {
namespace {

using Problem = ConfigError::Problem;

std::string at_position(std::size_t position) { return "position " + std::to_string(position); }

const pq::ConninfoOption* find_option(const KnownOptions& known, std::string_view keyword) {
  for (const auto& option : known) {
    if (option.keyword == keyword) return &option;
  }
  return nullptr;
}

// libpq knows one keyword in URIs that is not an option: JDBC's ssl=true.
bool is_known(const ConninfoSplit& split, const ConninfoPart& part, const KnownOptions& known) {
  if (is_pool_key(part.key)) return find_config_key(part.key) != nullptr;
  if (split.uri && part.key == "ssl" && part.value == "true") return true;
  return find_option(known, part.key) != nullptr;
}

bool is_identifier(std::string_view word) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (word.empty() || word.size() > 63 || !is_letter(word.front())) return false;
  return std::all_of(word.begin(), word.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

Nearest nearest_keyword(std::string_view key, const KnownOptions& known) {
  std::vector<std::string_view> candidates = config_key_names();
  if (!is_pool_key(key)) {
    for (const auto& option : known) candidates.emplace_back(option.keyword);
  }
  return nearest(key, candidates);
}

// Keywords of newer versions of libpq, with the first that has each.
struct LaterKeyword {
  std::string_view keyword;
  int version;
};
constexpr LaterKeyword kLaterKeywords[] = {
    {"gssdelegation", 17},        {"load_balance_hosts", 16}, {"max_protocol_version", 18},
    {"min_protocol_version", 18}, {"require_auth", 16},       {"scram_client_key", 18},
    {"scram_server_key", 18},     {"servicefile", 18},        {"sslcertmode", 16},
    {"sslkeylogfile", 18},        {"sslnegotiation", 17},
};

std::string needs_libpq(int version) {
  return "needs libpq " + std::to_string(version) + " or newer; this is " + pq::libpq_version();
}

// The rule that one value of a libpq option breaks, or null. Rejects only what is surely wrong, or
// would put a piece of a misplaced password into the pool's name; libpq judges the rest.
const char* broken_rule(std::string_view keyword, std::string_view value) {
  if (keyword == "host" || keyword == "hostaddr") {
    for (std::size_t i = 1; i < value.size(); ++i) {
      // In front it marks an abstract Unix socket.
      if (value[i] == '@' && value[i - 1] != ',') return "an '@' in the name of a host";
    }
    if (may_hold_keyword(keyword, value)) {
      return "a '=' in the name of a host; an empty value is written ''";
    }
  }
  if (keyword == "user" && value.find("password=") != value.npos) {
    return "a password in the name of a user; an empty value is written ''";
  }
  if (keyword == "port") {
    const char* const end = value.data() + value.size();
    for (const char* at = value.data(); at <= end; ++at) {
      const char* const stop = std::find(at, end, ',');
      unsigned number = 0;
      const auto read = std::from_chars(at, stop, number);
      const bool sound =
          read.ec == std::errc{} && read.ptr == stop && number >= 1 && number <= 65'535;
      if (at != stop && !sound) return "a port that is not a number from 1 to 65535";
      at = stop;
    }
  }
  if (keyword == "dbname" &&
      (value.starts_with("postgresql://") || value.starts_with("postgres://"))) {
    return "a URI as name of the database; it can only be the whole string";
  }
  return nullptr;
}

void check_libpq_part(const ConninfoSplit& split, Problems& problems) {
  std::vector<std::string> parts;
  for (const auto& part : split.parts) {
    if (!is_pool_key(part.key)) parts.emplace_back(part.text);
  }
  const auto given = pq::parse_conninfo(join_conninfo(split, parts));
  if (!given) {
    problems.push_back({.field = "conninfo", .text = "libpq refuses this connection string"});
    return;
  }
  for (const auto& option : *given) {
    const char* const rule = broken_rule(option.keyword, option.value);
    if (rule == nullptr) continue;
    problems.push_back(
        {.field = "conninfo", .key = option.keyword, .value = std::string(kHidden), .text = rule});
  }
}

bool has_problem(const Problems& problems, std::string_view field) {
  return std::any_of(problems.begin(), problems.end(),
                     [field](const Problem& problem) { return problem.field == field; });
}

const ConfigKey& key_of(std::string_view field) {
  const auto keys = config_keys();
  return *std::find_if(keys.begin(), keys.end(),
                       [field](const ConfigKey& key) { return key.field == field; });
}

// Says "low must not be more than high" if neither has a problem of its own.
template <class T>
void check_order(std::string_view low_field, const T& low, std::string_view high_field,
                 const T& high, const PoolConfig& config, Problems& problems) {
  if (low <= high || has_problem(problems, low_field) || has_problem(problems, high_field)) return;
  const ConfigKey& low_key = key_of(low_field);
  const ConfigKey& high_key = key_of(high_field);
  problems.push_back({.field = std::string(low_field),
                      .key = std::string(low_key.key),
                      .value = write_value(low_key, config).value_or(""),
                      .text = "more than " + std::string(high_field) + " (" +
                              std::string(high_key.key) + "), which is " +
                              write_value(high_key, config).value_or("")});
}

}  // namespace

bool is_pool_key(std::string_view key) noexcept { return key.starts_with(kKeyPrefix); }

bool may_hold_keyword(std::string_view key, std::string_view value) noexcept {
  // Only this keyword may have a '=' in its values: settings of the server.
  return value.find(key == "options" ? "password=" : "=") != value.npos;
}

std::string shown_value(std::string_view value) {
  if (may_hold_keyword({}, value)) return std::string(kHidden);
  constexpr std::size_t kMost = 60;
  std::string text(value.substr(0, kMost));
  for (char& c : text) {
    if (is_control(c)) c = '?';
  }
  return value.size() > kMost ? text + "..." : text;
}

std::vector<bool> showable_keys(const ConninfoSplit& split, const KnownOptions& known) {
  std::vector<bool> show;
  bool behind_secret = false;
  for (const auto& part : split.parts) {
    if (is_known(split, part, known)) {
      const auto* option = find_option(known, part.key);
      behind_secret = option != nullptr && option->secret;
      show.push_back(true);
      continue;
    }
    const Nearest guess = nearest_keyword(part.key, known);
    const bool close = is_typo(part.key, guess.distance);
    const bool is_key = is_pool_key(part.key) ? close || !behind_secret : close && !behind_secret;
    show.push_back(is_key && !split.doubtful && is_identifier(part.key));
    const auto* meant = find_option(known, guess.word);
    if (!close || (meant != nullptr && meant->secret)) behind_secret = true;
  }
  return show;
}

void check_conninfo(const ConninfoSplit& split, const KnownOptions& known, Problems& problems) {
  const auto show = showable_keys(split, known);
  bool all_known = true;
  for (std::size_t i = 0; i < split.parts.size(); ++i) {
    const ConninfoPart& part = split.parts[i];
    if (is_pool_key(part.key) || is_known(split, part, known)) continue;
    all_known = false;
    Problem problem{.field = "conninfo", .text = at_position(part.position) + ": unknown keyword"};
    const auto* const later = std::find_if(
        std::begin(kLaterKeywords), std::end(kLaterKeywords),
        [&](const LaterKeyword& known_later) { return known_later.keyword == part.key; });
    if (later != std::end(kLaterKeywords) && !split.doubtful) {
      problem.key = part.key;
      problem.text = at_position(part.position) + ": " + needs_libpq(later->version);
    } else if (show[i]) {
      problem.key = part.key;
      problem.text += "; the nearest is " + std::string(nearest_keyword(part.key, known).word);
    }
    problems.push_back(std::move(problem));
  }
  if (split.fault) {
    problems.push_back({.field = "conninfo",
                        .text = at_position(split.fault->position) + ": " + split.fault->rule});
  } else if (all_known) {
    check_libpq_part(split, problems);
  }
}

void check_members(const PoolConfig& config, Problems& problems) {
  for (const auto& key : config_keys()) {
    if (has_problem(problems, key.field)) continue;
    if (auto wrong = check_value(key, config)) {
      problems.push_back({.field = std::string(key.field),
                          .key = std::string(key.key),
                          .value = shown_value(write_value(key, config).value_or("")),
                          .text = std::move(*wrong)});
    }
  }
  if (config.require_auth && !has_problem(problems, "require_auth") &&
      !pq::knows_option("require_auth")) {
    problems.push_back({.field = "require_auth",
                        .key = "pool_require_auth",
                        .value = shown_value(*config.require_auth),
                        .text = needs_libpq(16) +
                                ", which gives a server that asks for it the password in clear "
                                "(sslmode=verify-full sees to whose server it is)"});
  }
  check_order("min_size", config.min_size, "max_size", config.max_size, config, problems);
  check_order("min_idle", config.min_idle, "max_size", config.max_size, config, problems);
  check_order("connect_backoff_min", config.connect_backoff_min, "connect_backoff_max",
              config.connect_backoff_max, config, problems);
}

}  // namespace tidegate::detail
