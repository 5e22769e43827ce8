#include "pq/connect/targets.hpp"

#include <libpq-fe.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>

#include "pq/connect/effective_options.hpp"
#include "pq/connect/option_check.hpp"

namespace tidegate::pq {
namespace {

constexpr std::string_view kDefaultPort = "5432";

// "a,,b" has three parts, "" has none.
std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  if (list.empty()) return parts;
  for (;;) {
    const std::size_t comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == list.npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

std::optional<std::chrono::seconds> positive_seconds(std::string_view text) noexcept {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0) return std::nullopt;
  return std::chrono::seconds(value);
}

// The rules of libpq's documentation, 34.1.1.3: names, addresses and ports are equally many, except
// that one port serves all. Empty when the rules are broken.
std::vector<Target> pair_up(const std::vector<std::string>& names,
                            const std::vector<std::string>& addresses,
                            const std::vector<std::string>& ports) {
  const std::size_t count = std::max({names.size(), addresses.size(), std::size_t{1}});
  if ((!names.empty() && names.size() != count) ||
      (!addresses.empty() && addresses.size() != count) ||
      (ports.size() > 1 && ports.size() != count)) {
    return {};
  }
  std::vector<Target> hosts(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!names.empty()) hosts[i].host = names[i];
    if (!addresses.empty()) hosts[i].address = addresses[i];
    if (!ports.empty()) hosts[i].port = ports[ports.size() == 1 ? 0 : i];
    if (hosts[i].port.empty()) hosts[i].port = kDefaultPort;
  }
  return hosts;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

}  // namespace

ConnectPlan plan_connect(const ConnectParams& params) {
  const EffectiveOptions options(params);
  ConnectPlan plan;
  plan.hosts = pair_up(split(options["host"]), split(options["hostaddr"]), split(options["port"]));
  plan.unpaired = plan.hosts.empty();
  if (plan.unpaired) plan.hosts.emplace_back();
  const std::string attrs(options["target_session_attrs"]);
  if (attrs == "prefer-standby") {
    plan.passes = {"standby", "any"};
  } else {
    plan.passes = {attrs};
  }
  plan.connect_timeout = positive_seconds(options["connect_timeout"]);
  plan.shuffle = options["load_balance_hosts"] == "random";
  for (const char* keyword : {"connect_timeout", "keepalives", "keepalives_count",
                              "keepalives_idle", "keepalives_interval", "tcp_user_timeout"}) {
    const std::string value(options[keyword]);
    if (!is_broken_number(value)) continue;
    plan.broken_number =
        "the option " + std::string(keyword) + " is no whole number: \"" + value + '"';
  }
  return plan;
}

ConnectParams params_for(const ConnectParams& params, const Target& target,
                         const std::string& session_attrs) {
  // libpq takes the last of equal keywords and ignores empty values.
  ConnectParams all = params;
  all.emplace_back("host", target.host);
  all.emplace_back("hostaddr", target.address);
  all.emplace_back("port", target.port);
  all.emplace_back("target_session_attrs", session_attrs);
  return all;
}

Addresses look_up(const Target& host) {
  const bool is_unix = host.host.empty() || host.host[0] == '/' || host.host[0] == '@';
  if (!host.address.empty() || is_unix) return {.found = {host}, .error = {}};

  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.host.c_str(), nullptr, &hints, &list);
  const int system_error = errno;
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(failed == 0 ? list : nullptr);
  if (failed != 0) {
    return {.found = {},
            .error = "cannot look up the host name: " +
                     (failed == EAI_SYSTEM ? std::generic_category().message(system_error)
                                           : std::string(::gai_strerror(failed)))};
  }
  Addresses all;
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0) {
      all.found.push_back({.host = host.host, .address = text, .port = host.port});
    }
  }
  if (all.found.empty()) all.error = "the host name has no address";
  return all;
}

}  // namespace tidegate::pq
