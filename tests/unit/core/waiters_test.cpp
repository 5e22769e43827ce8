#include <tidegate/core/waiters.hpp>

#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::core {
namespace {

using List = WaitList<StdSync>;
using Node = WaitNode<StdSync>;

constexpr std::uint32_t kGranted = wait_word::grant(11);

// Takes out everything, oldest first.
std::vector<const Node*> drain(List& list) {
  std::vector<const Node*> nodes;
  while (const auto decided = list.decide_oldest(kGranted)) nodes.push_back(decided.node());
  return nodes;
}

TEST(WaitWord, AGrantCarriesItsSlotAndIsNoOtherOutcome) {
  for (const std::uint32_t slot : {0U, 1U, 65534U, 0x7fff'ffffU}) {
    const std::uint32_t word = wait_word::grant(slot);
    EXPECT_TRUE(wait_word::granted(word));
    EXPECT_EQ(wait_word::slot(word), slot);
    EXPECT_NE(word, kUndecided);
  }
  for (const std::uint32_t word : {kUndecided, wait_word::kTimedOut, wait_word::kCanceled,
                                   wait_word::kClosed, wait_word::kRejected}) {
    EXPECT_FALSE(wait_word::granted(word));
  }
}

TEST(WaitList, BeginsEmpty) {
  List list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.size(), 0u);
  EXPECT_EQ(list.strict(), 0u);
  EXPECT_EQ(list.oldest(), nullptr);
  EXPECT_EQ(list.decide_oldest(kGranted).node(), nullptr);
}

TEST(WaitList, ServesTheOldestFirst) {
  List list;
  std::array<Node, 4> nodes;
  for (Node& node : nodes) list.push_back(node);
  EXPECT_EQ(list.size(), 4u);
  EXPECT_EQ(list.oldest(), &nodes[0]);
  EXPECT_EQ(drain(list), (std::vector<const Node*>{&nodes[0], &nodes[1], &nodes[2], &nodes[3]}));
  EXPECT_TRUE(list.empty());
  for (Node& node : nodes) EXPECT_EQ(node.parker.value(), kGranted);
}

TEST(WaitList, PushedToTheFrontIsServedNext) {
  List list;
  std::array<Node, 3> nodes;
  list.push_front(nodes[0]);
  list.push_back(nodes[1]);
  list.push_front(nodes[2]);
  EXPECT_EQ(drain(list), (std::vector<const Node*>{&nodes[2], &nodes[0], &nodes[1]}));
}

TEST(WaitList, AnyNodeCanBeTakenOut) {
  for (std::size_t gone = 0; gone < 3; ++gone) {
    SCOPED_TRACE(gone);
    List list;
    std::array<Node, 3> nodes;
    for (Node& node : nodes) list.push_back(node);
    list.unlink(nodes[gone]);
    EXPECT_FALSE(nodes[gone].linked);
    EXPECT_EQ(list.size(), 2u);

    // What is left is a sound list at both ends.
    Node last;
    list.push_back(last);
    Node first;
    list.push_front(first);
    std::vector<const Node*> expected{&first};
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != gone) expected.push_back(&nodes[i]);
    }
    expected.push_back(&last);
    EXPECT_EQ(drain(list), expected);
    EXPECT_EQ(nodes[gone].parker.value(), kUndecided);
  }
}

TEST(WaitList, TakingTheOnlyNodeOutLeavesItEmptyAndUsable) {
  List list;
  Node node;
  list.push_back(node);
  list.unlink(node);
  EXPECT_TRUE(list.empty());
  list.push_back(node);
  EXPECT_EQ(list.oldest(), &node);
  EXPECT_EQ(list.size(), 1u);
}

TEST(WaitList, TakingOutTwiceIsHarmless) {
  List list;
  std::array<Node, 2> nodes;
  for (Node& node : nodes) list.push_back(node);
  list.unlink(nodes[0]);
  list.unlink(nodes[0]);
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list.oldest(), &nodes[1]);
}

TEST(WaitList, CountsTheStrictOnesThatAreInIt) {
  List list;
  std::array<Node, 3> nodes;
  for (Node& node : nodes) list.push_back(node);
  list.mark_strict(nodes[1]);
  list.mark_strict(nodes[1]);
  EXPECT_EQ(list.strict(), 1u);
  list.mark_strict(nodes[2]);
  EXPECT_EQ(list.strict(), 2u);

  list.unlink(nodes[0]);
  EXPECT_EQ(list.strict(), 2u) << "that one was not strict";
  list.unlink(nodes[1]);
  EXPECT_EQ(list.strict(), 1u);
  EXPECT_EQ(list.decide_oldest(kGranted).node(), &nodes[2]);
  EXPECT_EQ(list.strict(), 0u);
}

TEST(WaitList, ANodeMarkedWhileOutsideCountsWhenItComesIn) {
  List list;
  Node node;
  list.mark_strict(node);
  EXPECT_EQ(list.strict(), 0u);
  list.push_front(node);
  EXPECT_EQ(list.strict(), 1u);
  list.unlink(node);
  EXPECT_EQ(list.strict(), 0u);
}

// Planted: decide_oldest() that looks at the head only and returns null when it refuses. The grant
// passes three waiters by.
TEST(WaitList, WhoHasDecidedForHimselfIsPassedOver) {
  List list;
  std::array<Node, 4> nodes;
  for (Node& node : nodes) list.push_back(node);
  for (Node& node : nodes) list.mark_strict(node);
  ASSERT_TRUE(nodes[0].parker.decide(wait_word::kTimedOut));
  ASSERT_TRUE(nodes[1].parker.decide(wait_word::kCanceled));

  EXPECT_EQ(list.decide_oldest(kGranted).node(), &nodes[2]);
  EXPECT_EQ(nodes[0].parker.value(), wait_word::kTimedOut);
  EXPECT_EQ(nodes[1].parker.value(), wait_word::kCanceled);
  EXPECT_FALSE(nodes[0].linked) << "the ones passed over are out of the list, too";
  EXPECT_FALSE(nodes[1].linked);
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list.strict(), 1u);
}

TEST(WaitList, WhenAllHaveDecidedForThemselvesNobodyIsServed) {
  List list;
  std::array<Node, 2> nodes;
  for (Node& node : nodes) {
    list.push_back(node);
    list.mark_strict(node);
    ASSERT_TRUE(node.parker.decide(wait_word::kCanceled));
  }
  EXPECT_EQ(list.decide_oldest(kGranted).node(), nullptr);
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.strict(), 0u);
}

// ---- those who are called back ---------------------------------------------------------------

// Whoever is called back, in that order.
struct Called {
  static void back(Node& node) noexcept {
    static_cast<Called*>(node.owner)->order.push_back(&node);
  }
  void by(Node& node) {
    node.called_back = &Called::back;
    node.owner = this;
  }
  std::vector<const Node*> order{};
};

TEST(WaitList, TellsAThreadByItsParkerAndOthersByTheirCallback) {
  List list;
  Called called;
  std::array<Node, 2> nodes;
  called.by(nodes[1]);
  for (Node& node : nodes) list.push_back(node);
  list.decide_oldest(kGranted).tell();
  EXPECT_TRUE(called.order.empty());
  const auto second = list.decide_oldest(kGranted);
  EXPECT_TRUE(called.order.empty()) << "told before the mutex was free";
  second.tell();
  EXPECT_EQ(called.order, (std::vector<const Node*>{&nodes[1]}));
}

TEST(WaitList, DecidesAllAndLeavesTheCallbacksForLater) {
  List list;
  Called called;
  std::array<Node, 5> nodes;
  for (const std::size_t i : {1u, 2u, 4u}) called.by(nodes[i]);
  for (Node& node : nodes) list.push_back(node);
  ASSERT_TRUE(nodes[2].parker.decide(wait_word::kTimedOut));  // has decided for itself
  ASSERT_TRUE(nodes[3].parker.decide(wait_word::kTimedOut));
  CallBacks<StdSync> callbacks;
  EXPECT_EQ(list.decide_all(wait_word::kClosed, callbacks), 3u);
  EXPECT_TRUE(list.empty());
  EXPECT_TRUE(called.order.empty());
  callbacks.tell();
  EXPECT_EQ(called.order, (std::vector<const Node*>{&nodes[1], &nodes[4]}));
  for (const std::size_t i : {0u, 1u, 4u}) EXPECT_EQ(nodes[i].parker.value(), wait_word::kClosed);
}

}  // namespace
}  // namespace tidegate::core
