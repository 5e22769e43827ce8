#include "pq/statement_cache.hpp"

#include <utility>

#include "pq/oids.hpp"

namespace tidegate::pq {

bool Prepared::takes(std::span<const std::uint32_t> given) const noexcept {
  for (std::size_t i = 0; i < given.size() && i < params.size(); ++i) {
    const bool bytes = given[i] == oid::kBytea;
    if (bytes ? params[i] != oid::kBytea : i < declared.size() && declared[i] != 0) return false;
  }
  return true;
}

const Prepared* StatementCache::find(std::string_view text) noexcept {
  if (order_.empty()) return nullptr;
  if (order_.front().text == text) return &order_.front();  // the same again: no hash
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &order_.front();
}

const Prepared* StatementCache::add(Prepared statement) {
  if (order_.size() >= capacity_) evict(std::prev(order_.end()));
  order_.push_front(std::move(statement));
  try {
    by_text_.emplace(order_.front().text, order_.begin());
  } catch (...) {
    order_.pop_front();
    throw;
  }
  return &order_.front();
}

void StatementCache::drop(const Prepared* statement) { evict(by_text_.at(statement->text)); }

void StatementCache::evict(Order::iterator statement) {
  evicted_.push_back(statement->name);
  by_text_.erase(statement->text);
  order_.erase(statement);
}

void StatementCache::clear() noexcept {
  by_text_.clear();
  order_.clear();
  evicted_.clear();
}

}  // namespace tidegate::pq
