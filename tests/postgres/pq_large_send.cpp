// Statements of megabytes: what sending them costs, and that it ends when it has to.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include <support/call_counter.hpp>
#include <support/moved_bytes.hpp>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/copy.hpp>

#include "postgres/pq_support.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::pq_test {

using pq::CancelTrace;
using testing::HasSubstr;

namespace {

constexpr std::size_t kSize = std::size_t{16} << 20;
// Large enough, where nothing is measured.
constexpr std::size_t kEnough = std::size_t{3} << 20;

// Whether a read or a write on that socket waits, by its mode or its timeouts.
bool waits(int socket) {
  timeval read{};
  timeval write{};
  socklen_t size = sizeof read;
  ::getsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &read, &size);
  ::getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &write, &size);
  return (::fcntl(socket, F_GETFL) & O_NONBLOCK) == 0 || read.tv_sec + read.tv_usec != 0 ||
         write.tv_sec + write.tv_usec != 0;
}

std::uint64_t inode_of(int fd) {
  struct stat file{};
  return ::fstat(fd, &file) == 0 ? file.st_ino : 0;
}
// How many of the process's first descriptors are that socket.
int descriptors_of(std::uint64_t inode) {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += inode_of(fd) == inode ? 1 : 0;
  return count;
}

// Until it takes no more.
void wait_for_a_full(int socket) {
  pollfd room{.fd = socket, .events = POLLOUT, .revents = 0};
  while (::poll(&room, 1, 0) != 0) std::this_thread::yield();
}

}  // namespace

// With a deadline and without: another thread sends it, or this one.
class PqLargeSend : public testing::TestWithParam<bool> {
 protected:
  ExecOptions options() const { return {.by = GetParam() ? Deadline(kLong) : Deadline::never()}; }
  ExecOptions unprepared() const {
    ExecOptions options = this->options();
    options.prepared = false;
    return options;
  }
  void expect_usable() {
    EXPECT_EQ(connection_.query_value<int>("select 41 + $1", 1), 42);
    EXPECT_TRUE(pq::PoolAccess(connection_).reusable());
    EXPECT_FALSE(waits(pq::PoolAccess(connection_).socket()));
  }

  pq::ConnectOutcome outcome_ = connected();
  Connection& connection_ = outcome_.connection;
};

INSTANTIATE_TEST_SUITE_P(With, PqLargeSend, testing::Bool(), [](const auto& limited) {
  return limited.param ? "ADeadline" : "NoLimit";
});

TEST_P(PqLargeSend, WhatWasSentArrives) {
  std::vector<std::byte> bytes(kEnough);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  const auto stored =
      connection_.query_value<std::vector<std::byte>>(options(), "select $1::bytea", bytes);
  EXPECT_TRUE(stored == bytes);
  const std::string text(kEnough, 'x');
  EXPECT_EQ(connection_.query_value<std::size_t>(options(), "select length($1)", text), kEnough);
  const auto array = connection_.query_row<std::size_t, std::string>(
      options(), "select length(a[1]), a[2] from (select $1::text[] a) t",
      std::vector<std::string>{text, "second"});
  EXPECT_EQ(array, std::tuple(kEnough, "second"));
  const std::string statement = "select length('" + text + "')";
  EXPECT_EQ(connection_.query_value<std::size_t>(options(), Sql(statement)), kEnough);
  connection_.exec_script(options(), Sql("create temp table t as " + statement + " as n"));
  EXPECT_EQ(connection_.query_value<std::size_t>("select n from t"), kEnough);
  expect_usable();
}

// What the server answers before the large one and after it, more than a socket takes.
TEST_P(PqLargeSend, ABatchHasItAmongOthers) {
  const std::string large(kEnough, 'x');
  const std::string answer(std::size_t{2} << 20, 'a');
  Batch batch;
  batch.add("select repeat('a', 2097152)");
  batch.add("select length($1)", large);
  batch.add("select repeat('a', 2097152)");
  batch.add("select length($1) + $2::int", large, 1);
  const BatchResults results = connection_.run(batch, options());
  EXPECT_EQ(results[0].only().get<std::string>(0), answer);
  EXPECT_EQ(results[1].only().get<std::size_t>(0), kEnough);
  EXPECT_EQ(results[2].only().get<std::string>(0), answer);
  EXPECT_EQ(results[3].only().get<std::size_t>(0), kEnough + 1);
  expect_usable();
}

TEST_P(PqLargeSend, ABatchThatFailsBeforeItSaysSo) {
  const std::string large(kEnough, 'x');
  Batch batch;
  batch.add("select 1 / 0");
  batch.add("select length($1)", large);
  const BatchResults results = connection_.run(batch, options());
  ASSERT_NE(results.error(0), nullptr);
  EXPECT_EQ(results.error(0)->sqlstate(), "22012");
  ASSERT_NE(results.error(1), nullptr);
  EXPECT_THAT(results.error(1)->what(), HasSubstr("aborted because statement 0"));
  expect_usable();
}

#if !defined(TIDEGATE_TEST_SANITIZED)
// libpq in non-blocking mode moves all that it has not sent, after each piece that the socket took:
// a bytea of 128 MB took 9.8 times as long as in its blocking mode. Seen failing, all but the
// COPY, with 1,140 MB moved for these 16.
TEST_P(PqLargeSend, IsNotMovedOnceForEachPieceThatTheSocketTakes) {
  const std::string text(kSize, 'x');
  const std::string statement = "select length('" + text + "')";
  Batch batch;
  batch.add("select length($1)", text);
  const std::vector<std::string> array{text};
  const std::vector<std::tuple<std::string>> line{std::tuple(text)};
  connection_.exec("create temp table t (a text)");

  const test::MovedBytes moved;
  std::size_t before = 0;
  const auto expect_linear = [&](const char* what) {
    EXPECT_LT(moved.so_far() - before, 8 * kSize) << what;
    before = moved.so_far();
  };
  connection_.exec(options(), "select length($1)", text);
  expect_linear("a parameter");
  connection_.exec(options(), "select length($1::text[]::text)", array);
  expect_linear("an array");
  connection_.exec(options(), Sql(statement));
  expect_linear("a statement's text");
  connection_.exec_script(options(), Sql(statement));
  expect_linear("a script");
  std::ignore = connection_.run(batch, options());
  expect_linear("a batch");
  connection_.copy_in({.table = "t"}, line, options());
  expect_linear("a line of a COPY");
}

TEST_P(PqLargeSend, WithoutAThreadToBeHadItArrivesAllTheSame) {
  const std::string text(kSize, 'x');
  {
    const test::NoThreads none;
    EXPECT_EQ(connection_.query_value<std::size_t>(options(), "select length($1)", text), kSize);
  }
  expect_usable();
}
#endif

TEST_P(PqLargeSend, ThatTheServerEndsIsAConnectionLost) {
  const int pid = connection_.backend_pid();
  ::kill(pid, SIGSTOP);
  const std::jthread ender([pid, monitor = pq::PoolAccess(connection_).monitor()] {
    while (!monitor.activity().busy) std::this_thread::yield();
    ::kill(pid, SIGTERM);
    ::kill(pid, SIGCONT);
  });
  EXPECT_THROW(
      connection_.exec(options(), "select length($1), pg_sleep(600)", std::string(4 * kSize, 'x')),
      ConnectionLost);
  EXPECT_FALSE(connection_.is_open());
}

// A server that stops reading in the middle.
class PqLargeSendStalled : public testing::Test {
 protected:
  PqLargeSendStalled() { ::kill(backend_, SIGSTOP); }
  ~PqLargeSendStalled() override { go_on(); }
  void go_on() const { ::kill(backend_, SIGCONT); }
  // Runs `act` when the statement is under way.
  template <class F>
  std::jthread when_busy(F act) {
    return std::jthread([monitor = pq::PoolAccess(connection_).monitor(), act] {
      while (!monitor.activity().busy) std::this_thread::yield();
      act();
    });
  }
  static pq::ConnectOutcome impatient(Params params = {}) {
    pq::ConnectOutcome outcome =
        pq::connect({.params = std::move(params), .drain_bound = 100ms}, {}, kLong);
    if (!outcome) throw std::runtime_error("no connection");
    return outcome;
  }
  // The statement is over, and the server is not taken for one that has ended.
  void expect_given_up() {
    EXPECT_FALSE(connection_.is_open());
    char byte = 0;
    EXPECT_EQ(::recv(outcome_.duplicate.get(), &byte, 1, MSG_DONTWAIT), -1);
    EXPECT_EQ(errno, EAGAIN) << "its end, though it lives";
    EXPECT_FALSE(waits(outcome_.duplicate.get()));
    go_on();
    EXPECT_TRUE(wait_for_eof(outcome_.duplicate.get()));
  }

  pq::ConnectOutcome outcome_ = impatient();
  Connection& connection_ = outcome_.connection;
  const int backend_ = connection_.backend_pid();
  const std::string large_ = std::string(4 * kSize, 'x');
};

TEST_F(PqLargeSendStalled, ItsDeadlineIsKept) {
  const Deadline long_before_the_server = kLong;
  const auto error = thrown_by<QueryTimeout>(
      [&] { connection_.exec({.by = 20ms, .prepared = false}, "select length($1)", large_); });
  EXPECT_FALSE(long_before_the_server.passed());
  EXPECT_THAT(error.what(), HasSubstr("the statement's deadline passed"));
  EXPECT_THAT(error.what(), HasSubstr("the connection is given up"));
  expect_given_up();
}

TEST_F(PqLargeSendStalled, ItsStopIsKept) {
  std::stop_source stop;
  const auto stopper = when_busy([&] { stop.request_stop(); });
  const auto error = thrown_by<QueryCanceled>([&] {
    connection_.exec({.stop = stop.get_token(), .prepared = false}, "select length($1)", large_);
  });
  EXPECT_THAT(error.what(), HasSubstr("the connection is given up"));
  expect_given_up();
}

TEST_F(PqLargeSendStalled, TheDeadlineOfABatchAndOfAScriptIsKept) {
  Batch batch;
  batch.add("select 1");
  batch.add("select length($1)", large_);
  EXPECT_THROW(std::ignore = connection_.run(batch, {.by = 20ms}), QueryTimeout);
  expect_given_up();
  pq::ConnectOutcome another = impatient();
  const int pid = another.connection.backend_pid();
  ::kill(pid, SIGSTOP);
  EXPECT_THROW(another.connection.exec_script({.by = 20ms}, Sql("select length('" + large_ + "')")),
               QueryTimeout);
  ::kill(pid, SIGCONT);
}

// Another thread forks meanwhile: what the child keeps would hide from the server that its client
// has gone. One is the test's own.
TEST_F(PqLargeSendStalled, AChildHasNoneOfItsDescriptors) {
  const std::uint64_t inode = inode_of(outcome_.duplicate.get());
  std::stop_source stop;
  std::jthread sender([&] {
    EXPECT_THROW(connection_.exec({.stop = stop.get_token(), .prepared = false},
                                  "select length($1)", large_),
                 QueryCanceled);
  });
  while (descriptors_of(inode) < 3) std::this_thread::yield();
  // The duplicate is there a moment before it is on record.
  while (!waits(outcome_.duplicate.get())) std::this_thread::yield();
  wait_for_a_full(outcome_.duplicate.get());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(descriptors_of(inode));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  stop.request_stop();
  sender.join();
}

// The server goes on in time: the statement is canceled when it has arrived, and nothing is lost.
TEST(PqLargeSendResumed, IsCanceledThenAndTheConnectionGoesOn) {
  pq::ConnectOutcome outcome = connected();
  Connection& connection = outcome.connection;
  const int pid = connection.backend_pid();
  ::kill(pid, SIGSTOP);
  const std::jthread resumer([pid, monitor = pq::PoolAccess(connection).monitor()] {
    while (!monitor.activity().busy) std::this_thread::yield();
    std::this_thread::sleep_for(50ms);  // the deadline passes; if it has not, that is no matter
    ::kill(pid, SIGCONT);
  });
  const auto error = thrown_by<QueryTimeout>([&] {
    connection.exec({.by = 20ms, .prepared = false}, "select length($1), pg_sleep(600)",
                    std::string(kSize, 'x'));
  });
  EXPECT_EQ(error.sqlstate(), "57014");
  EXPECT_EQ(connection.query_value<int>("select 5"), 5);
  EXPECT_FALSE(waits(pq::PoolAccess(connection).socket()));
}

}  // namespace tidegate::pq_test
