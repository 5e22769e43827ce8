// Prepared: one statement that the server holds for a session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <tidegate/pq/params.hpp>

namespace tidegate::pq {

// One block of memory holds the object and its types and texts: a session keeps hundreds.
class Prepared {
 public:
  struct Parts {
    std::string_view text{};
    std::uint32_t number = 0;  // in its name (StatementName)
    // The parameter types that were named when it was prepared; 0: inferred.
    std::span<const std::uint32_t> declared{};
    // The parameter types as the server describes them.
    std::span<const std::uint32_t> params{};
    bool binary_results = false;  // every column's type can be read in binary form, too
    bool bytes = false;           // a column is a bytea, and all read the same as in text form
  };
  struct Free {
    void operator()(Prepared* prepared) const noexcept;
  };
  using Ptr = std::unique_ptr<Prepared, Free>;
  // Throws: std::bad_alloc.
  static Ptr make(const Parts& parts);
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  std::string_view text() const noexcept { return {chars(), text_size_}; }
  std::uint32_t number() const noexcept { return number_; }
  std::span<const std::uint32_t> params() const noexcept { return {types(), params_}; }
  bool binary_results() const noexcept { return binary_results_; }
  bool bytes() const noexcept { return bytes_; }
  // A parameter's type may change without an error, and its values then mean something else.
  bool ages() const noexcept { return ages_; }
  // See plain_sql.hpp.
  bool is_plain() const noexcept { return plain_; }

  // Whether these parameters mean this statement: a value that is sent as bytes must be a bytea
  // here, and the type of a value that is sent as text must have been inferred.
  bool takes(const Params& given) const noexcept {
    return takes(std::span(given.types(), given.count()));
  }
  // The same for parameter types; bytea stands for a value that is sent as bytes.
  bool takes(std::span<const std::uint32_t> given) const noexcept;

 private:
  friend class StatementCache;
  explicit Prepared(const Parts& parts) noexcept;
  ~Prepared() = default;

  const std::uint32_t* types() const noexcept {
    return reinterpret_cast<const std::uint32_t*>(this + 1);
  }
  std::span<const std::uint32_t> declared() const noexcept { return {types() + params_, params_}; }
  const char* chars() const noexcept {
    return reinterpret_cast<const char*>(types() + 2 * std::size_t{params_});
  }

  // For the StatementCache: since when the statement is known to be what its text means, and since
  // when that is in doubt.
  struct Mark {
    std::uint32_t era = 0;
    std::uint32_t second = 0;
  };
  Mark known_{};
  Mark doubted_{};
  // For the StatementCache: the neighbours in the order of use.
  Prepared* newer_ = nullptr;
  Prepared* older_ = nullptr;

  const std::uint32_t text_size_;
  const std::uint32_t number_;
  const std::uint16_t params_;  // the protocol counts them in two bytes
  const bool binary_results_;
  const bool bytes_;
  const bool plain_;
  bool ages_ = false;
};

// What an error says about the prepared statement that caused it.
enum class Stale : std::uint8_t {
  no,
  changed,  // the server has it, but not as it was
  gone,     // the server has no such statement
  lost,     // the server lacks the statement that the pooler calls by that name
  perhaps,  // its parameters may have other types by now: ask the server
};

}  // namespace tidegate::pq
