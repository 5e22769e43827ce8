// What an acquire in vain says of the pool is true whatever the pool is doing: a pool of one whose
// only connection was being closed used to be "exhausted: 0 of 1 are leased".
#include "pool/errors/acquire_cause.hpp"

#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <tidegate/pool/connect_error.hpp>

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using Cause = AcquireTimeout::Cause;

// Every state that a pool of up to four can be in.
template <class F>
void for_all_counts(F&& f) {
  for (std::uint32_t max = 1; max <= 4; ++max) {
    for (std::uint32_t code = 0; code < 5 * 5 * 5 * 5 * 5; ++code) {
      const PoolCounts counts{.max = max,
                              .leased = code % 5,
                              .idle = code / 5 % 5,
                              .connecting = code / 25 % 5,
                              .checking = code / 125 % 5,
                              .retiring = code / 625};
      if (counts.leased + counts.idle + counts.connecting + counts.checking + counts.retiring <=
          max)
        f(counts);
    }
  }
}

std::uint32_t not_open(const PoolCounts& counts) {
  return counts.max - counts.leased - counts.idle - counts.connecting - counts.checking -
         counts.retiring;
}

// The number in front of `words`, or 0 when they are not there.
std::uint32_t number_before(const std::string& text, const std::string& words) {
  std::smatch found;
  if (!std::regex_search(text, found, std::regex("([0-9]+) (connections? |connects? )?" + words)))
    return 0;
  return static_cast<std::uint32_t>(std::stoul(found[1]));
}

std::string line_with(const std::string& text, const std::string& label) {
  const std::size_t at = text.find(label);
  return at == text.npos ? "" : text.substr(at, text.find('\n', at) - at);
}

// "all 8 are leased", or how many of them are and what each of the others does.
void expect_true_places(const std::string& line, const PoolCounts& counts) {
  if (line.find("all ") != line.npos) {
    EXPECT_EQ(number_before(line, "are leased"), counts.max) << line;
    EXPECT_EQ(counts.leased, counts.max) << line;
    return;
  }
  EXPECT_NE(line.find(std::to_string(counts.leased) + " of " + std::to_string(counts.max) +
                      " are leased"),
            line.npos)
      << line;
  EXPECT_EQ(number_before(line, "connecting"), counts.connecting) << line;
  EXPECT_EQ(number_before(line, "being checked"), counts.checking) << line;
  EXPECT_EQ(number_before(line, "being closed"), counts.retiring) << line;
  EXPECT_EQ(number_before(line, "idle by now"), counts.idle) << line;
  EXPECT_EQ(number_before(line, "not open"), not_open(counts)) << line;
}

void expect_true_cause(const std::string& line, const PoolCounts& counts) {
  switch (detail::cause_of(counts)) {
    case Cause::checking:
      EXPECT_GT(counts.checking, 0u);
      EXPECT_EQ(number_before(line, "being checked or cleaned"), counts.checking) << line;
      break;
    case Cause::connecting_slow:
      EXPECT_GT(counts.connecting, 0u);
      EXPECT_EQ(number_before(line, "under way"), counts.connecting) << line;
      break;
    case Cause::retiring:
      EXPECT_GT(counts.retiring, 0u);
      EXPECT_EQ(number_before(line, "being closed, and"), counts.retiring) << line;
      expect_true_places(line, counts);
      break;
    case Cause::not_growing:
      EXPECT_GT(not_open(counts), 0u);
      EXPECT_EQ(counts.connecting, 0u);
      expect_true_places(line, counts);
      break;
    case Cause::exhausted:
      EXPECT_EQ(counts.leased + counts.idle, counts.max);
      expect_true_places(line, counts);
      break;
  }
}

TEST(AcquireWords, ATimeoutIsTrueOfEveryStateOfThePool) {
  for_all_counts([](const PoolCounts& counts) {
    const Cause cause = detail::cause_of(counts);
    for (const bool may_wait : {false, true}) {
      for (const char* last_connect : {"", "no such database"}) {
        AcquireReport report{.pool = "orders", .counts = counts, .last_connect = last_connect};
        if (!may_wait) report.allowed = 0ns;
        const std::string text = AcquireTimeout(report, cause).what();
        const std::string line = line_with(text, "cause: ");
        EXPECT_TRUE(line.starts_with("cause: " + std::string(to_string(cause)) + ": ")) << text;
        expect_true_cause(line, counts);
        EXPECT_EQ(text.find("the last connect says") != text.npos,
                  *last_connect != '\0' &&
                      (cause == Cause::connecting_slow || cause == Cause::not_growing))
            << text;
      }
    }
  });
}

TEST(AcquireWords, TheLineOfCountsIsTrueOfEveryStateOfThePool) {
  for_all_counts([](const PoolCounts& counts) {
    std::string line = "\n  used=" + std::to_string(counts.leased) + '/' +
                       std::to_string(counts.max) + " idle=" + std::to_string(counts.idle) +
                       " connecting=" + std::to_string(counts.connecting);
    if (counts.checking > 0) line += " checking=" + std::to_string(counts.checking);
    if (counts.retiring > 0) line += " retiring=" + std::to_string(counts.retiring);
    line += " waiting=0";
    const AcquireReport report{.pool = "orders", .counts = counts};
    const std::vector<std::string> texts{AcquireTimeout(report, detail::cause_of(counts)).what(),
                                         AcquireCanceled(report).what(),
                                         Overloaded(report, 7).what()};
    for (const std::string& text : texts) {
      EXPECT_NE(text.find(line), text.npos) << text << "\nlacks" << line;
    }
  });
}

TEST(AcquireWords, AnOverloadIsTrueOfEveryStateOfThePool) {
  for_all_counts([](const PoolCounts& counts) {
    const Overloaded error({.pool = "orders", .counts = counts}, 7);
    expect_true_places(line_with(error.what(), "cause: "), counts);
  });
}

TEST(AcquireWords, APoolOfOneWhoseConnectionIsBeingClosedSaysSo) {
  const AcquireReport report{.pool = "orders",
                             .counts = {.max = 1, .retiring = 1},
                             .allowed = 250ms,
                             .allowed_by_config = true,
                             .waited = 250ms};
  EXPECT_EQ(detail::cause_of(report.counts), Cause::retiring);
  EXPECT_STREQ(
      AcquireTimeout(report, Cause::retiring).what(),
      "pool \"orders\": no connection within 250 ms (waited 250 ms)\n"
      "  used=0/1 idle=0 connecting=0 retiring=1 waiting=0\n"
      "  cause: retiring: 1 connection being closed, and the place is not free before the "
      "server has ended it; 0 of 1 are leased, 1 being closed\n"
      "  hint: the server is slow to end a session, or a before_close hook to return; else "
      "raise pool_max_conns (1)");
}

// Between the end of an acquire and its words a connect may succeed: then nothing is known of the
// failures any more. It used to be "0 attempts in 8723.1 h".
TEST(AcquireWords, AConnectErrorWhoseReasonIsGoneMakesNoNumbersUp) {
  ConnectReport report{.pool = "orders", .allowed = 250ms, .waited = 250ms};
  report.at = std::chrono::steady_clock::now();
  EXPECT_STREQ(ConnectError(Errc::unavailable, report).what(),
               "pool \"orders\": server unreachable: until a moment ago; no connection within 250 "
               "ms (waited 250 ms)");
  EXPECT_STREQ(ConnectError(Errc::rejected, report).what(),
               "pool \"orders\": server rejects the connection: until a moment ago");
}

}  // namespace
}  // namespace tidegate
