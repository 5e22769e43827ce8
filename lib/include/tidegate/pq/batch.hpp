// Batch: statements that go to the server together and come back in one round trip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/convert.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/rows.hpp>

namespace tidegate {

namespace pq {
class BatchRun;
struct BatchStore;
}  // namespace pq

// Built with add(), run with run() of a Connection, Transaction or Pool, as often as wanted.
//
// PostgreSQL runs a batch as one transaction, unless statements in the batch say otherwise or the
// batch runs inside a transaction: when a statement fails, the later ones are not run, and nothing
// takes effect. The first statement does not count as inside a transaction yet, and before
// PostgreSQL 18 no statement does: outside a transaction LOCK TABLE and DECLARE CURSOR fail in a
// batch (25P01) unless BEGIN comes before them in it.
class TIDEGATE_API Batch {
 public:
  // Copies the text and the values. The same text several times in a row is parsed once, if running
  // it cannot change what the text means (SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES).
  // Throws: UsageError for what cannot be sent (COPY, a NUL, more than 65535 parameters); the batch
  //         is unchanged then.
  template <Bindable... Args>
  Batch& add(Sql sql, const Args&... args) {
    Params& params = start(sql);
    (params.bind(args), ...);
    return add_started(sql);
  }
  std::size_t size() const noexcept { return statements_.size(); }
  bool empty() const noexcept { return statements_.empty(); }
  void clear() noexcept;

 private:
  friend class Connection;
  friend class pq::BatchRun;
  struct Statement {
    std::size_t text = 0;   // where it starts in texts_
    std::size_t first = 0;  // the index of its first value in params_
    Location where{};
  };
  Params& start(const Sql& sql);
  Batch& add_started(const Sql& sql);

  std::vector<Statement> statements_{};
  std::string texts_{};  // each with its NUL
  Params params_{};
  std::size_t values_ = 0;  // how many of params_ belong to statements_; the rest: to a refused one
};

// The results of a batch's statements, in their order. An SQL error does not make run() throw: it
// is kept here, and thrown by raise() or when the result of its statement is asked for. ok(i) says
// that statement i did not fail; only failed() == nullopt says that it has taken effect.
class TIDEGATE_API BatchResults {
 public:
  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }

  // The statement's rows. Throws: its QueryError when it failed, or was aborted because an earlier
  // statement failed; UsageError when there is no such statement.
  const Rows& operator[](std::size_t statement) const;
  bool ok(std::size_t statement) const { return error(statement) == nullptr; }
  // Null when it did not fail. Valid as long as the results. Throws: UsageError as above.
  const QueryError* error(std::size_t statement) const;
  // The first statement that failed. A failed commit at the end counts as the last statement's.
  std::optional<std::size_t> failed() const noexcept { return failed_; }
  // Throws the error of the first statement that failed, if any did.
  void raise() const;

 private:
  friend class pq::BatchRun;
  struct Item {
    Rows rows{};
    std::unique_ptr<const QueryError> error{};
  };
  const Item& item(std::size_t statement) const;

  std::shared_ptr<pq::BatchStore> store_{};  // owns what the items refer to
  std::vector<Item> items_{};
  std::optional<std::size_t> failed_{};
};

}  // namespace tidegate
