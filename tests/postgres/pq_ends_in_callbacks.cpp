// Leases and connections that end inside a call of their own verb: in a row's callback, a range, a
// notice handler. The verb goes on with a session that is whole, and says what was done wrong; the
// end takes place behind it, and the next user gets a session that is idle.
#include <libpq-fe.h>

#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include <tidegate/pool/pool.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/transaction.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

// A parameter that does something when it is bound.
struct Acts {
  std::function<void()> act;
};

}  // namespace tidegate::pq_test

template <>
struct tidegate::Convert<tidegate::pq_test::Acts> {
  static void encode(const tidegate::pq_test::Acts& acts, tidegate::Params& out) {
    acts.act();
    out.text("0");
  }
};

namespace tidegate::pq_test {
namespace {

using testing::HasSubstr;

// Rows enough that the server is in the middle of them.
constexpr const char* kMany = "select generate_series(1, 100000) as n";

// A range of rows that does something at the second.
class Range {
 public:
  explicit Range(std::function<void()> at_the_second) : act_(std::move(at_the_second)) {}

  class Iterator {
   public:
    Iterator(Range& range, int at) : range_(range), at_(at) {}
    std::tuple<int> operator*() const {
      if (at_ == 1) range_.act_();
      return {at_};
    }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    Range& range_;
    int at_;
  };
  Iterator begin() { return {*this, 0}; }
  Iterator end() { return {*this, 10'000}; }

 private:
  std::function<void()> act_;
};

using Act = std::function<void()>;
// Each verb that calls back for rows, with what its call is to do.
struct Calling {
  const char* name;
  void (*verb)(Connection&, const Act&);
  const char* says;

  friend void PrintTo(const Calling& calling, std::ostream* out) { *out << calling.name; }
};
const Calling kCalling[] = {
    {"Each", [](Connection& c, const Act& act) { c.each(kMany, [&](const Row&) { act(); }); },
     "each: its callback has ended the lease or the connection"},
    {"EachThatIsLeft",
     [](Connection& c, const Act& act) {
       c.each(kMany, [&](const Row&) {
         act();
         return false;
       });
     },
     "each: its callback has ended the lease or the connection"},
    {"CopyOut",
     [](Connection& c, const Act& act) { c.copy_out(kMany, [&](const Row&) { act(); }); },
     "copy_out: its callback has ended the lease or the connection"},
    {"CopyOutThatIsLeft",
     [](Connection& c, const Act& act) {
       c.copy_out(kMany, [&](const Row&) {
         act();
         return false;
       });
     },
     "copy_out: its callback has ended the lease or the connection"},
    {"CopyIn",
     [](Connection& c, const Act& act) {
       c.copy_in({.table = "ended", .columns = {"id"}}, Range(act));
     },
     "copy_in: its range has ended the lease or the connection"},
};

class EndsInACallback : public testing::TestWithParam<Calling> {
 protected:
  EndsInACallback() {
    (*lease_)->exec_script("drop table if exists ended; create unlogged table ended (id int)");
  }

  // The verb says what was done in its call, and the next lease is of a session that is idle.
  void is_told(const Act& act) {
    bool done = false;
    Connection& connection = **lease_;
    const UsageError error = thrown_by<UsageError>([&] {
      GetParam().verb(connection, [&] {
        if (!std::exchange(done, true)) act();
      });
    });
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
    next_is_well();
  }
  void next_is_well() {
    lease_.reset();
    Lease next = pool_.acquire(kLong);
    EXPECT_EQ(next->transaction_status(), TransactionStatus::idle);
    EXPECT_EQ(next->query_value<int>("select count(*) from ended"), 0);
  }

  Pool pool_{PoolConfig{.max_size = 1}};
  std::optional<Lease> lease_{pool_.acquire()};
};

TEST_P(EndsInACallback, AReleaseTakesPlaceBehindTheVerb) {
  is_told([&] {
    lease_->release();
    EXPECT_FALSE(*lease_);
    EXPECT_EQ(pool_.stats().leased, 1u) << "somebody else may have it";
  });
  EXPECT_EQ(pool_.stats().created, 1u);
}
TEST_P(EndsInACallback, TheLeasesDestructorIsARelease) {
  is_told([&] { lease_.reset(); });
  EXPECT_EQ(pool_.stats().created, 1u);
}
TEST_P(EndsInACallback, ADiscardTakesPlaceBehindTheVerb) {
  is_told([&] {
    lease_->discard();
    EXPECT_FALSE(*lease_);
    EXPECT_EQ(pool_.stats().leased, 1u) << "somebody else may close it";
  });
  EXPECT_EQ(pool_.stats().created, 2u);
}
TEST_P(EndsInACallback, ACloseTakesPlaceBehindTheVerb) {
  is_told([&] {
    Connection& connection = **lease_;
    connection.close();
    EXPECT_FALSE(connection.is_open());
    EXPECT_THROW(connection.exec("select 1"), UsageError);
  });
}
TEST_P(EndsInACallback, ACloseAndAReleaseTakePlaceBehindTheVerb) {
  is_told([&] {
    (*lease_)->close();
    lease_->release();
  });
}
TEST_P(EndsInACallback, AReleaseAndACloseTakePlaceBehindTheVerb) {
  is_told([&] {
    Connection& connection = **lease_;
    lease_->release();
    connection.close();
  });
}
TEST_P(EndsInACallback, WhatTheCallThrowsGoesOn) {
  struct Thrown {};
  EXPECT_THROW(GetParam().verb(**lease_,
                               [&] {
                                 lease_->release();
                                 throw Thrown{};
                               }),
               Thrown);
  next_is_well();
}
TEST_P(EndsInACallback, AHijackIsRefused) {
  int refused = 0;
  GetParam().verb(**lease_, [&] {
    if (refused > 0) return;
    EXPECT_THAT(
        thrown_by<UsageError>([&] { Connection taken = std::move(*lease_).hijack(); }).what(),
        HasSubstr("hijack inside a verb"));
    ++refused;
  });
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(*lease_);
  EXPECT_TRUE((*lease_)->is_open());
}
// The object that is moved away ends in the call.
TEST_P(EndsInACallback, AConnectionOfItsOwnMayBeMovedAndClosed) {
  Connection connection = connect_to_server();
  bool done = false;
  EXPECT_THROW(GetParam().verb(connection,
                               [&] {
                                 if (!std::exchange(done, true))
                                   Connection ended(std::move(connection));
                               }),
               UsageError);
  EXPECT_FALSE(connection.is_open());
}
TEST_P(EndsInACallback, EveryVerbIsRefused) {
  Connection& connection = **lease_;
  bool done = false;
  const auto refused = [&](const Act& verb) { EXPECT_THROW(verb(), UsageError); };
  const Act all = [&] {
    if (std::exchange(done, true)) return;
    refused([&] { connection.exec("select 1"); });
    refused([&] { connection.exec_script("select 1"); });
    refused([&] { connection.each("select 1", [](const Row&) {}); });
    refused([&] { connection.prepare("select 1"); });
    refused([&] { connection.begin(); });
    refused([&] { static_cast<void>(connection.run(Batch().add("select 1"))); });
    refused([&] { connection.copy_out("select 1", [](const Row&) {}); });
    refused([&] { connection.copy_in({.table = "ended"}, std::vector<std::tuple<int>>{}); });
    refused([&] { connection.notifications(Deadline::now()); });
    EXPECT_FALSE(connection.ping(kLong));
  };
  GetParam().verb(connection, all);
  EXPECT_TRUE(done);
  EXPECT_TRUE(connection.is_open());
}
// Refused before it has changed anything: then the transaction goes on.
TEST_P(EndsInACallback, ATransactionIsNeitherCommittedNorRolledBack) {
  Transaction transaction = (*lease_)->begin();
  bool done = false;
  GetParam().verb(**lease_, [&] {
    if (std::exchange(done, true)) return;
    EXPECT_THROW(transaction.commit(), UsageError);
    EXPECT_THROW(transaction.rollback(), UsageError);
    EXPECT_THROW(transaction.begin(), UsageError);
  });
  EXPECT_TRUE(transaction.open());
  transaction.rollback();
  EXPECT_TRUE((*lease_)->is_open());
}
// It cannot be rolled back there, and nobody may commit it: the session ends with its lease.
TEST_P(EndsInACallback, ATransactionThatEndsThereIsNeverCommitted) {
  std::optional<Transaction> transaction((*lease_)->begin());
  (*lease_)->exec("insert into ended values (1)");
  GetParam().verb(**lease_, [&] { transaction.reset(); });
  EXPECT_FALSE(pq::PoolAccess(**lease_).usable());
  next_is_well();
  EXPECT_EQ(pool_.stats().created, 2u);
}

INSTANTIATE_TEST_SUITE_P(Of, EndsInACallback, testing::ValuesIn(kCalling),
                         [](const auto& of) { return std::string(of.param.name); });

// ---- notice handlers -------------------------------------------------------------------------

// libpq is on the stack then. The statement's result is what it is.
class EndsInACall : public testing::Test {
 protected:
  static constexpr const char* kNotice = "do 'begin raise notice ''x''; end'";

  Pool pool_{PoolConfig{.max_size = 1}};
  Lease lease_ = pool_.acquire();
};

TEST_F(EndsInACall, AReleaseTakesPlaceBehindTheVerb) {
  Connection& connection = *lease_;
  connection.set_notice_handler([&](const Notice&) { lease_.release(); });
  connection.exec(kNotice);
  EXPECT_FALSE(lease_);
  EXPECT_EQ(pool_.query_value<int>("select 42"), 42);
  EXPECT_EQ(pool_.stats().created, 1u);
}
TEST_F(EndsInACall, ACloseTakesPlaceBehindTheVerb) {
  Connection& connection = *lease_;
  connection.set_notice_handler([&](const Notice&) { connection.close(); });
  EXPECT_THROW(connection.exec_script(kNotice), ConnectionLost);
  EXPECT_FALSE(connection.is_open());
  lease_.release();
  EXPECT_EQ(pool_.query_value<int>("select 42"), 42);
}
TEST_F(EndsInACall, TheConnectionIsNotToBeUsed) {
  int refused = 0;
  lease_->set_notice_handler([&](const Notice&) {
    EXPECT_THROW(lease_->exec("select 1"), UsageError);
    EXPECT_THROW(lease_->set_notice_handler({}), UsageError);
    ++refused;
  });
  EXPECT_EQ(lease_->exec(kNotice).command_tag(), "DO");
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(lease_->is_open());
}
TEST_F(EndsInACall, ACommitEndsAsItDoes) {
  pool_.stats();
  Transaction transaction = lease_->begin();
  lease_->exec_script(
      "create temp table noisy (id int);"
      "create function pg_temp.say() returns trigger language plpgsql as"
      "  'begin raise notice ''x''; return null; end';"
      "create constraint trigger say after insert on noisy deferrable initially deferred"
      "  for each row execute function pg_temp.say();"
      "insert into noisy values (1)");
  lease_->set_notice_handler([&](const Notice&) { lease_.release(); });
  transaction.commit();
  EXPECT_FALSE(transaction.open());
  EXPECT_FALSE(lease_);
  EXPECT_EQ(pool_.query_value<int>("select count(*) from noisy"), 1);
}

// ---- parameters of a type of the user's ------------------------------------------------------

// The statement of the inner call was run in place of the outer one's, without an error.
TEST_F(EndsInACall, AParameterThatUsesTheConnectionIsRefused) {
  const Acts asks{[&] { lease_->query_value<int>("select $1", 41); }};
  EXPECT_THAT(
      thrown_by<UsageError>([&] { lease_->query_value<int>("select $1 + 42", asks); }).what(),
      HasSubstr("a statement is under way on this connection"));
  EXPECT_EQ(lease_->query_value<int>("select $1 + 42", Acts{[] {}}), 42);
}
TEST_F(EndsInACall, AStatementWhoseParameterEndsItsLeaseIsNotRun) {
  const Acts releases{[&] { lease_.release(); }};
  Connection& connection = *lease_;
  EXPECT_THAT(thrown_by<UsageError>([&] { connection.exec("select $1", releases); }).what(),
              HasSubstr("it was not run"));
  EXPECT_FALSE(lease_);
  EXPECT_EQ(pool_.query_value<int>("select 42"), 42);
  EXPECT_EQ(pool_.stats().created, 1u);
}
TEST_F(EndsInACall, AStatementWhoseParameterClosesItsConnectionIsNotRun) {
  Connection& connection = *lease_;
  const Acts closes{[&] { connection.close(); }};
  EXPECT_THROW(connection.each("select $1", closes, [](const Row&) {}), UsageError);
  EXPECT_FALSE(connection.is_open());
}

TEST_F(EndsInACall, ANativeHandleThatIsTakenInACallIsInBlockingModeBehindIt) {
  lease_->each("select 1", [&](const Row&) { lease_->native_handle(); });
  EXPECT_EQ(PQisnonblocking(lease_->native_handle()), 0);
  EXPECT_EQ(lease_->query_value<int>("select 42"), 42);
}

}  // namespace
}  // namespace tidegate::pq_test
