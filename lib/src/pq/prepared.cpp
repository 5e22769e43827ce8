#include "pq/prepared.hpp"

#include <algorithm>
#include <new>

#include "pq/plain_sql.hpp"
#include "pq/types/oids.hpp"

namespace tidegate::pq {

Prepared::Ptr Prepared::make(const Parts& parts) {
  const std::size_t behind = 2 * sizeof(std::uint32_t) * parts.params.size() + parts.text.size();
  return Ptr(new (::operator new(sizeof(Prepared) + behind)) Prepared(parts));
}

void Prepared::Free::operator()(Prepared* prepared) const noexcept {
  prepared->~Prepared();
  ::operator delete(prepared);
}

// Behind the object: the types as the server describes them, the declared types, the text.
Prepared::Prepared(const Parts& parts) noexcept
    : text_size_(static_cast<std::uint32_t>(parts.text.size())),
      number_(parts.number),
      params_(static_cast<std::uint16_t>(parts.params.size())),
      binary_results_(parts.binary_results),
      bytes_(parts.bytes),
      plain_(pq::is_plain(parts.text)) {
  auto* type = reinterpret_cast<std::uint32_t*>(this + 1);
  type = std::copy(parts.params.begin(), parts.params.end(), type);
  for (std::size_t i = 0; i < params_; ++i) {
    *type++ = i < parts.declared.size() ? parts.declared[i] : 0;
  }
  ages_ = std::any_of(parts.params.begin(), parts.params.end(), [](std::uint32_t param) {
    return param != oid::kText && param != oid::kVarchar && param != oid::kBytea;
  });
  std::copy(parts.text.begin(), parts.text.end(), reinterpret_cast<char*>(type));
}

bool Prepared::takes(std::span<const std::uint32_t> given) const noexcept {
  const auto expected = params();
  for (std::size_t i = 0; i < given.size() && i < expected.size(); ++i) {
    const bool bytes = given[i] == oid::kBytea;
    if (bytes ? expected[i] != oid::kBytea : declared()[i] != 0) return false;
  }
  return true;
}

}  // namespace tidegate::pq
