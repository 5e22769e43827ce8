#include "pq/connect/option_check.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>

#include <tidegate/pq/conninfo.hpp>

#include "pq/connect/server_text.hpp"

namespace tidegate::pq {
namespace {

// Stands where an address should be, and is none: no socket, no look-up. libpq names it in its
// error, in every language, as soon as it wants to dial; an error without it came earlier.
constexpr const char* kNowhere = "tidegate-dials-nobody";

using Native = std::unique_ptr<PGconn, void (*)(PGconn*)>;

Native dial_nowhere(const ConnectParams& params) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : params) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  // One of each, and none empty, because the environment or a service would fill in an empty one.
  // Whether the given ones pair up shows when they are dialled.
  keywords.insert(keywords.end(), {"host", "hostaddr", "port", nullptr});
  values.insert(values.end(), {kNowhere, kNowhere, "5432", nullptr});
  Native native(PQconnectStartParams(keywords.data(), values.data(), 0), &PQfinish);
  if (!native) throw std::bad_alloc();
  return native;
}

}  // namespace

std::optional<std::string> refusal_of(const ConnectParams& params) {
  // Twice, because an attempt without memory to read the options looks the same.
  for (int tries = 2;; --tries) {
    const Native native = dial_nowhere(params);
    const std::string said = PQerrorMessage(native.get());
    if (PQstatus(native.get()) != CONNECTION_BAD || said.find(kNowhere) != said.npos) return {};
    if (tries == 1) return server_text(said).text;
  }
}

std::string libpq_version() {
  const int version = PQlibVersion();
  return std::to_string(version / 10'000) + '.' + std::to_string(version % 10'000);
}

bool knows_option(std::string_view keyword) {
  const auto options = conninfo_defaults();
  return std::any_of(options.begin(), options.end(),
                     [&](const ConninfoOption& option) { return option.keyword == keyword; });
}

// Reads numbers as libpq does: blanks around the number do no harm.
bool is_broken_number(const std::string& value) noexcept {
  if (value.empty()) return false;
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(value.c_str(), &end, 10);
  while (*end == ' ' || (*end >= '\t' && *end <= '\r')) ++end;
  return end == value.c_str() || *end != '\0' || errno != 0 ||
         number > std::numeric_limits<int>::max() || number < std::numeric_limits<int>::min();
}

}  // namespace tidegate::pq
