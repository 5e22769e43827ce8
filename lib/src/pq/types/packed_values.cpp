#include "pq/types/packed_values.hpp"

#include <libpq-fe.h>

#include <cstring>
#include <new>

namespace tidegate::pq {
namespace {

// Beyond this, copying costs more than it spares.
constexpr std::size_t kMostValues = 64;
constexpr std::size_t kMostBytes = 1024;

bool same_columns(const PGresult* one, const PGresult* other) noexcept {
  const int columns = PQnfields(one);
  if (columns != PQnfields(other)) return false;
  for (int c = 0; c < columns; ++c) {
    if (PQftype(one, c) != PQftype(other, c) || PQfformat(one, c) != PQfformat(other, c) ||
        std::strcmp(PQfname(one, c), PQfname(other, c)) != 0) {
      return false;
    }
  }
  return true;
}

// How many bytes the values take, each with its NUL.
std::size_t bytes_of(const PGresult* result, int rows, int columns) noexcept {
  std::size_t bytes = 0;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      bytes += static_cast<std::size_t>(PQgetlength(result, r, c)) + 1;
    }
  }
  return bytes;
}

std::string_view copy(std::string_view text, char*& at) noexcept {
  const std::string_view copied(at, text.size());
  std::memcpy(at, text.data(), text.size());
  at += text.size();
  *at++ = '\0';
  return copied;
}

}  // namespace

const PackedValues* pack(const PGresult& result, const PGresult& like, ValueStore& store) {
  const int rows = PQntuples(&result);
  const int columns = PQnfields(&result);
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  if (count > kMostValues || !same_columns(&result, &like)) return nullptr;
  const std::size_t bytes = bytes_of(&result, rows, columns);
  if (bytes > kMostBytes) return nullptr;

  // libpq takes no constant here, though it only reads.
  const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(&result));
  void* const memory = store.allocate(
      sizeof(PackedValues) + count * sizeof(PackedValues::Value) + bytes + tag.size() + 1,
      alignof(PackedValues));
  auto* const packed = new (memory) PackedValues;
  auto* const values = reinterpret_cast<PackedValues::Value*>(packed + 1);
  char* text = reinterpret_cast<char*>(values + count);
  packed->columns = &like;
  packed->rows = static_cast<std::size_t>(rows);
  packed->values = {values, count};
  packed->command_tag = copy(tag, text);
  PackedValues::Value* value = values;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const std::string_view from(PQgetvalue(&result, r, c),
                                  static_cast<std::size_t>(PQgetlength(&result, r, c)));
      new (value++) PackedValues::Value{copy(from, text), PQgetisnull(&result, r, c) != 0};
    }
  }
  return packed;
}

}  // namespace tidegate::pq
