// Verbs: everything that can be asked of one connection, each with what it must give and what must
// be stored afterwards.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/pq/transaction.hpp>

#include "support/random.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {

// What the table `verbs` holds, as the session at hand sees it: row `id` has the text "v<id>".
// Numbers never come again, so that no answer can be taken for another's.
class VerbModel {
 public:
  // A transaction or a savepoint that is open, and what the table held when it began.
  struct Level {
    std::set<int> before{};
    Transaction transaction{};
  };

  explicit VerbModel(Random choices) : random(choices) {}

  Connection& connection() const { return *connection_; }
  void use(Connection& connection) noexcept { connection_ = &connection; }

  int new_number() noexcept { return ++last_number_; }
  void stored(int id) { rows_.insert(id); }
  const std::set<int>& rows() const noexcept { return rows_; }

  // ---- Transactions. A failed one refuses everything until it is rolled back.
  bool in_transaction() const noexcept { return !levels_.empty(); }
  std::size_t depth() const noexcept { return levels_.size(); }
  bool has_failed() const noexcept { return failed_; }
  void statement_failed() noexcept { failed_ = in_transaction(); }
  // After a cancel that may have come too late.
  void look_at_status();
  void begin();
  void commit();
  void rollback();

  Random random;

 private:
  Connection* connection_ = nullptr;
  std::set<int> rows_{};
  std::vector<Level> levels_{};
  bool failed_ = false;
  int last_number_ = 0;
};

inline std::string text_of(int id) { return "v" + std::to_string(id); }

struct Verb {
  std::string_view name;
  void (*play)(VerbModel&);
  bool in_transactions = true;  // it has a meaning there, and leaves them open
};
std::span<const Verb> all_verbs();

// The verbs that came last, for the report of what went wrong.
void add_to_trail(std::string_view verb);
std::string trail();

template <class... Parts>
void must(bool holds, const Parts&... parts) {
  require(holds, "I10", trail, ": ", parts...);
}

}  // namespace tidegate::stress
