#include "pq/connect/effective_options.hpp"

#include <libpq-fe.h>

#include <new>
#include <vector>

namespace tidegate::pq {

EffectiveOptions::EffectiveOptions(const ConnectParams& params) {
  // Only making a connection applies a service file that `params` name. An sslmode that libpq must
  // refuse ends the attempt before it touches the network.
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : params) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.insert(keywords.end(), {"sslmode", nullptr});
  values.insert(values.end(), {"none: only the options are looked at", nullptr});
  const std::unique_ptr<PGconn, void (*)(PGconn*)> stillborn(
      PQconnectStartParams(keywords.data(), values.data(), 0), &PQfinish);
  if (stillborn) options_.reset(PQconninfo(stillborn.get()));
  if (!options_) throw std::bad_alloc();
}

std::string_view EffectiveOptions::operator[](std::string_view keyword) const noexcept {
  for (const auto* option = options_.get(); option->keyword != nullptr; ++option) {
    if (keyword == option->keyword) return option->val != nullptr ? option->val : "";
  }
  return {};
}

void EffectiveOptions::Free::operator()(PQconninfoOption* options) const noexcept {
  PQconninfoFree(options);
}

}  // namespace tidegate::pq
