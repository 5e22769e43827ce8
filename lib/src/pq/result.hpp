// Result: a PGresult, and what its error texts need.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/location.hpp>
#include <tidegate/pq/errors.hpp>

struct pg_result;  // libpq's PGresult

namespace tidegate::pq {

struct ClearResult {
  void operator()(pg_result* result) const noexcept;
};
using ResultPtr = std::unique_ptr<pg_result, ClearResult>;

struct CopyValue;
struct PackedValues;

// Texts of values that came in binary form, for callers that ask for a view. Any thread.
class KeptTexts {
 public:
  KeptTexts() noexcept = default;
  KeptTexts(const KeptTexts&) = delete;
  KeptTexts& operator=(const KeptTexts&) = delete;
  ~KeptTexts() { clear(); }

  // Keeps the text of that value until clear(); the first text that was given for it stays. Throws:
  // std::bad_alloc.
  std::string_view keep(std::size_t row, std::size_t column, std::string text) const;
  // Needs: no other thread uses this.
  void clear() noexcept;

 private:
  struct Texts;
  mutable std::atomic<Texts*> texts_{nullptr};  // made at first use: few need them
};

// What Rows hold.
struct Result {
  ResultPtr native{};                    // null when it is packed
  const PackedValues* packed = nullptr;  // in a BatchResults, which outlives it
  std::string statement{};
  Location where{};
  // For a COPY: the values of the row under way; `native` has no rows then, only columns.
  const std::vector<CopyValue>* values = nullptr;
  std::size_t first = 0;  // the number of its first row, when rows come one by one
  KeptTexts texts{};

  // The PGresult that describes the columns, also of packed values.
  const pg_result* columns() const noexcept;
};

bool is_error(const pg_result* result) noexcept;
// Whether it begins a COPY, in either direction.
bool is_copy(const pg_result* result) noexcept;
// Whether it answers BEGIN or START TRANSACTION. `result` may be null.
bool begins_transaction(const pg_result* result) noexcept;

// Every field of the server's report in an error or notice; `statement` is left empty.
QueryReport report_of(const pg_result* result);

}  // namespace tidegate::pq
