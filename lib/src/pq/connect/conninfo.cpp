#include <tidegate/pq/conninfo.hpp>

#include <libpq-fe.h>

#include <memory>
#include <new>

namespace tidegate::pq {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

ConninfoOption copy(const PQconninfoOption& option) {
  return {.keyword = option.keyword,
          .value = option.val != nullptr ? option.val : "",
          .secret = option.dispchar != nullptr && option.dispchar[0] == '*'};
}

}  // namespace

std::vector<ConninfoOption> conninfo_defaults() {
  // libpq ignores a bad service file here; null means that memory ran out.
  const Options options(PQconndefaults());
  if (!options) throw std::bad_alloc();
  std::vector<ConninfoOption> found;
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    found.push_back(copy(*option));
  }
  return found;
}

std::optional<std::vector<ConninfoOption>> parse_conninfo(const std::string& conninfo) {
  // libpq would read up to the NUL and ignore the rest.
  if (conninfo.find('\0') != std::string::npos) return std::nullopt;
  char* message = nullptr;
  const Options options(PQconninfoParse(conninfo.c_str(), &message));
  if (!options) {
    if (message == nullptr) throw std::bad_alloc();
    PQfreemem(message);
    return std::nullopt;
  }
  std::vector<ConninfoOption> given;
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && option->val[0] != '\0') given.push_back(copy(*option));
  }
  return given;
}

}  // namespace tidegate::pq
