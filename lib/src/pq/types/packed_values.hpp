// PackedValues: the values of a small result, without the PGresult they came in.
//
// libpq takes at least two kilobytes for each result. If a result is dropped before the next is
// read, the next gets the same two kilobytes at once; a hundred results that are kept, as in a
// batch, cost more to allocate than the query loop does. So the results of a repeated statement are
// packed, one behind the other.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <span>
#include <string_view>

struct pg_result;  // libpq's PGresult

namespace tidegate::pq {

struct PackedValues {
  struct Value {
    std::string_view text{};  // a NUL follows
    bool null = false;
  };
  const pg_result* columns = nullptr;  // another result, with the same columns
  std::string_view command_tag{};
  std::size_t rows = 0;
  std::span<const Value> values{};  // row by row
};

using ValueStore = std::pmr::monotonic_buffer_resource;

// Copies what `result` holds into `store`; null where that would not pay: `result` is not small, or
// its columns differ from those of `like`. `like` and `store` must outlive the copy. Throws
// std::bad_alloc.
const PackedValues* pack(const pg_result& result, const pg_result& like, ValueStore& store);

}  // namespace tidegate::pq
