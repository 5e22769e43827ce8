// PackedValues: the values of a small result, without the PGresult they came in.
//
// libpq takes two kilobytes at least for each result. One that is dropped before the next is read
// gets the same two kilobytes again, at once; a hundred that are kept, as those of a batch, cost
// more to allocate than the query loop does. So those of a statement that is repeated are packed,
// one behind the other.
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

// A copy in `store` of what `result` holds, or null where that would not pay: it is not small, or
// its columns are others than those of `like`. Both must outlive the copy. Throws std::bad_alloc.
const PackedValues* pack(const pg_result& result, const pg_result& like, ValueStore& store);

}  // namespace tidegate::pq
