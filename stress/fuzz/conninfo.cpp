// Connection strings. What libpq accepts, PoolConfig::parse() takes apart as libpq does, once the
// pool's own keys are out, and the other way round; and no error text and no to_string() holds a
// secret that was given as a password, neither as it is nor as it was written: percent-encoded, or
// with backslashes.
#include <tidegate/pool/config.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <tidegate/pq/conninfo.hpp>

#include "pool/config/config_check.hpp"
#include "pool/config/conninfo_split.hpp"
#include "target.hpp"

namespace tidegate::fuzz {
namespace {

using detail::ConninfoSplit;
using Options = std::map<std::string, std::string>;

// Nobody's environment decides what is found. With a user libpq need not ask the system for one,
// which takes longer than all the rest.
void clear_environment() {
  for (const char* name : {"PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSWORD", "PGHOST",
                           "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGOPTIONS"}) {
    ::unsetenv(name);
  }
  ::setenv("PGUSER", "u", 1);
}

const std::vector<pq::ConninfoOption>& known() {
  static const auto options = (clear_environment(), pq::conninfo_defaults());
  return options;
}

bool is_known(const ConninfoSplit& split, const detail::ConninfoPart& part) {
  if (split.uri && part.key == "ssl" && part.value == "true") return true;
  return std::any_of(known().begin(), known().end(),
                     [&](const auto& option) { return option.keyword == part.key; });
}

std::optional<Options> by_libpq(const std::string& text) {
  const auto given = pq::parse_conninfo(text);
  if (!given) return std::nullopt;
  Options options;
  for (const auto& option : *given) options[option.keyword] = option.value;
  return options;
}

// ---- the same as libpq -----------------------------------------------------------------------

// A keyword of libpq that takes any text and that the string does not use: it stands in for the
// pool's keys, so that libpq reads the whole string.
std::string stand_in(const ConninfoSplit& split) {
  for (const char* keyword : {"application_name", "sslcrl", "krbsrvname", "sslrootcert"}) {
    const bool used = std::any_of(split.parts.begin(), split.parts.end(),
                                  [&](const auto& part) { return part.key == keyword; });
    if (!used) return keyword;
  }
  return {};
}

// The string with `keyword` in the place of each of the pool's keys.
std::string with_stand_in(std::string text, const ConninfoSplit& split, std::string_view keyword) {
  for (auto part = split.parts.rbegin(); part != split.parts.rend(); ++part) {
    if (!detail::is_pool_key(part->key)) continue;
    // In a URI a blank is part of the key.
    const std::size_t written = part->text.find_first_of(split.uri ? "=" : "= \t\n\v\f\r");
    text.replace(part->position - 1, written, keyword);
  }
  return text;
}

// What the parts say; of the head of a URI nothing.
Options by_the_parts(const ConninfoSplit& split, const std::string& keyword) {
  Options options;
  for (const auto& part : split.parts) {
    if (split.uri && part.key == "ssl") {
      options["sslmode"] = "require";
    } else {
      options[detail::is_pool_key(part.key) ? keyword : part.key] = part.value;
    }
  }
  return options;
}

bool is_own_rule(const ConfigError::Problem& problem) {
  if (problem.field != "conninfo") return true;  // of a pool key
  return problem.text.find("unknown keyword") == problem.text.npos &&
         problem.text.find("libpq refuses") == problem.text.npos;
}

void check_read_back(const PoolConfig& config, const std::string& shown) {
  const std::string written = config.to_string();
  if (written.find(detail::kHidden) != written.npos) return;
  try {
    expect(PoolConfig::parse(written) == config, "to_string() is read back", shown);
  } catch (const ConfigError& error) {
    finding("to_string() is read back", shown + ": " + error.what());
  }
}

void check_against_libpq(const std::string& text) {
  const ConninfoSplit split = detail::split_conninfo(text);
  const std::string keyword = stand_in(split);
  if (keyword.empty()) return;
  const std::string said = with_stand_in(text, split, keyword);
  const auto libpq = said.find('\0') == said.npos ? by_libpq(said) : std::nullopt;
  const std::string shown = printable(text);

  if (split.fault) {
    const bool own_rule = split.fault->rule.starts_with("'@'");
    expect(own_rule || !libpq, "a fault is one to libpq, too", shown + ": " + split.fault->rule);
  } else {
    const bool all_known = std::all_of(split.parts.begin(), split.parts.end(), [&](const auto& p) {
      return detail::is_pool_key(p.key) || is_known(split, p);
    });
    expect(all_known == libpq.has_value(), "libpq accepts what the splitter finds sound", shown);
    if (libpq) {
      for (const auto& [key, value] : by_the_parts(split, keyword)) {
        if (value.empty() && split.uri) continue;  // the head of the URI may have given it
        const auto found = libpq->find(key);
        expect(
            value.empty() ? found == libpq->end() : found != libpq->end() && found->second == value,
            "the parts are libpq's", shown + ": " + key);
      }
    }
  }

  try {
    const PoolConfig config = PoolConfig::parse(text);
    expect(libpq.has_value(), "parse() accepts only what libpq accepts", shown);
    auto rest = by_libpq(config.conninfo);
    expect(rest.has_value(), "libpq accepts what parse() leaves to it", shown);
    Options without = *libpq;
    without.erase(keyword);
    rest->erase(keyword);  // which the string may have had: only with no pool key
    expect(*rest == without, "taking out the pool's keys leaves the rest as it was", shown);
    check_read_back(config, shown);
  } catch (const ConfigError& error) {
    if (!libpq) return;
    for (const auto& problem : error.problems()) {
      expect(is_own_rule(problem), "what libpq accepts is refused by a rule of our own only",
             shown + ": " + problem.text);
    }
  }
}

// ---- secrets ---------------------------------------------------------------------------------

struct Secret {
  std::string plain;
  std::string written;
};

void expect_hidden(const std::string& text, const Secret& secret) {
  const auto check = [&](const std::string& said, const char* where) {
    const auto details = [&] {
      return std::string(where) + " of " + printable(text) + ":\n" + said;
    };
    expect(said.find(secret.plain) == said.npos, "a password is never shown", details());
    expect(said.find(secret.written) == said.npos, "a password is never shown as it was written",
           details());
  };
  const auto check_error = [&](const ConfigError& error) {
    check(error.what(), "what()");
    for (const auto& problem : error.problems()) {
      check(problem.field + problem.key + problem.value + problem.text, "a problem");
    }
  };
  try {
    const PoolConfig config = PoolConfig::parse(text);
    check(config.to_string(), "to_string()");
    check(config.effective_name(), "effective_name()");
  } catch (const ConfigError& error) {
    check_error(error);
  }
  const PoolConfig by_hand{.conninfo = text};
  check(by_hand.to_string(), "to_string(), by hand,");
  try {
    by_hand.validate();
  } catch (const ConfigError& error) {
    check_error(error);
  }
}

// The second passes for a key, the third for the number of a port.
constexpr const char* kSecrets[] = {"S3cR&tM!rk", "s3cretmark", "49151"};
// One that cannot be written as it is.
constexpr const char* kOddSecret = "S3c' r\\et%@M:rk";

// How a secret is written. Its bytes are escaped where they have to be, and where `which` has a bit
// for them; none at all where that is 0.
enum class Writing { bare, quoted, uri };
Secret written(const std::string& plain, Writing writing, unsigned which) {
  Secret secret{.plain = plain, .written = {}};
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    const bool chosen = (which >> (i % 8) & 1U) != 0;
    if (which != 0 && writing == Writing::uri) {
      const bool letter =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (chosen || !letter) {
        char code[12];
        std::snprintf(code, sizeof code, i % 2 == 0 ? "%%%02X" : "%%%02x",
                      static_cast<unsigned>(static_cast<unsigned char>(c)));
        secret.written += code;
        continue;
      }
    } else if (which != 0) {
      const bool special = c == '\'' || c == '\\' || (c == ' ' && writing == Writing::bare);
      if (chosen || special) secret.written += '\\';
    }
    secret.written += c;
  }
  return secret;
}

// A string with a password, in which one byte is changed, or that ends early. Two of them are
// faulty as they are: a value that was left empty takes the next word.
struct Form {
  std::string before;
  std::string after;
  std::size_t changeable;  // of `before`: without the rest there would be no password
  const char* mark = "";   // stands behind the password: without it the number of a port is one
};
constexpr std::size_t kAll = std::string::npos;
const Form kForms[] = {
    {"host=db1 port=5432 user=u password=", " dbname=d pool_max_conns=4", kAll},
    {"user=u password='", "' host=h pool_name=orders", kAll},
    {"pool_max_conns=4 password = ", "\tsslmode=require", kAll},
    {"pool_max_conns= password=", " host=h", 0},
    {"host= password=", " pool_max_conns=0", 0},
    {"postgresql://u:", "h:5432/d?sslmode=require&pool_max_conns=4", 14, "@"},
    {"postgres://me:", "h1,h2:5433/d", 13, "@"},
    {"postgresql://h/d?user=u&password=", "&pool_name=x", kAll},
};

std::string changed(std::string text, std::size_t at, unsigned how, char byte) {
  switch (how % 4) {
    case 0: text.erase(at, 1); break;
    case 1: text.insert(at, 1, byte); break;
    case 2: text[at] = byte; break;
    default: break;
  }
  return text;
}

void check_changed_form(Input& input) {
  const Form& form = kForms[input.below(std::size(kForms))];
  const std::string secret = kSecrets[input.below(std::size(kSecrets))];
  const unsigned how = input.byte();
  const char byte = static_cast<char>(input.byte());
  const bool in_front = (input.byte() & 1U) != 0 && form.changeable > 0;
  std::string before = form.before;
  std::string after = form.after;
  if (in_front) {
    before = changed(before, input.below(std::min(form.changeable, before.size())), how, byte);
  } else if (how % 4 == 3) {
    after.resize(input.below(after.size()));
  } else {
    after = changed(after, input.below(after.size()), how, byte);
  }
  const unsigned escaped = input.byte();
  const bool odd = escaped != 0 && (input.byte() & 1U) != 0;
  const Writing writing = form.before.starts_with("postgres") ? Writing::uri
                          : form.before.ends_with('\'')       ? Writing::quoted
                                                              : Writing::bare;
  const Secret hidden = written(odd ? kOddSecret : secret, writing, escaped);
  expect_hidden(before + hidden.written + form.mark + after, hidden);
}

// Whatever stands around it.
void check_surrounded(Input& input) {
  const std::string plain = kSecrets[input.below(std::size(kSecrets))];
  const unsigned how = input.byte();
  const bool quoted = (how & 1U) != 0;
  const Secret secret = written(plain, quoted ? Writing::quoted : Writing::bare, how >> 1U);
  const std::string_view around = input.rest();
  const std::size_t half = around.size() / 2;
  const std::string quote = quoted ? "'" : "";
  expect_hidden(std::string(around.substr(0, half)) + " password=" + quote + secret.written +
                    quote + ' ' + std::string(around.substr(half)),
                secret);
}

}  // namespace

void conninfo(std::string_view bytes) {
  known();
  if (bytes.size() > 4096) return;  // nothing new, only slow
  check_against_libpq(std::string(bytes));
  Input form(bytes);
  check_changed_form(form);
  Input surrounded(bytes);
  check_surrounded(surrounded);
}

}  // namespace tidegate::fuzz
