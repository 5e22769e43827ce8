// StatementCache: which statements a session has prepared on the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <tidegate/pq/params.hpp>

namespace tidegate::pq {

struct Prepared {
  std::string text{};
  std::string name{};
  std::vector<std::uint32_t> declared{};  // types of parameters the preparer named; 0: inferred
  std::vector<std::uint32_t> params{};    // as the server describes them
  bool binary_results = false;            // every column's type is read in binary form, too

  // Whether it is the statement that these parameters mean: what is sent as bytes must be a bytea
  // here, and what is sent as text must have been inferred.
  bool takes(const Params& given) const noexcept {
    return takes(std::span(given.types(), given.count()));
  }
  // The same of their types: bytea is what is sent as bytes.
  bool takes(std::span<const std::uint32_t> given) const noexcept;
};

// The least recently used goes when there is no room. Knows nothing of the server; what is to be
// deallocated there is told by evicted().
class StatementCache {
 public:
  explicit StatementCache(std::size_t capacity) noexcept : capacity_(capacity) {}

  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t size() const noexcept { return order_.size(); }
  // The statement with that text, now the most recently used; null when there is none. Valid until
  // it is evicted, dropped or cleared.
  const Prepared* find(std::string_view text) noexcept;
  // A name no statement of the session has had.
  std::string next_name() { return "tidegate_" + std::to_string(++named_); }
  // Needs: a capacity, no statement of that text.
  const Prepared* add(Prepared statement);
  // It is of no use any more, but still on the server.
  void drop(const Prepared* statement);
  // The server has forgotten all of them.
  void clear() noexcept;

  // Names to be deallocated on the server; forgotten by whoever has done so.
  std::vector<std::string>& evicted() noexcept { return evicted_; }

 private:
  using Order = std::list<Prepared>;
  void evict(Order::iterator statement);

  std::size_t capacity_;
  std::uint64_t named_ = 0;
  Order order_{};  // the most recently used first; the keys below are views into it
  std::unordered_map<std::string_view, Order::iterator> by_text_{};
  std::vector<std::string> evicted_{};
};

}  // namespace tidegate::pq
