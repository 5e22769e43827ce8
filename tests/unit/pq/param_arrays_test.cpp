#include <tidegate/pq/param_arrays.hpp>

#include <array>
#include <utility>

#include <gtest/gtest.h>

namespace tidegate::pq_test {

using pq::ParamArrays;

constexpr std::size_t kMany = 100;
constexpr std::array<char, kMany> kData{};

ParamArrays::One one(std::size_t i) {
  const int number = static_cast<int>(i);
  return {.value = &kData[i],
          .entry = 1'000 + i,
          .type = static_cast<std::uint32_t>(2'000 + i),
          .length = 3'000 + number,
          .format = number % 2};
}

void expect_many(const ParamArrays& arrays) {
  ASSERT_EQ(arrays.size(), kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(arrays.values()[i], one(i).value);
    EXPECT_EQ(arrays.entries()[i], one(i).entry);
    EXPECT_EQ(arrays.types()[i], one(i).type);
    EXPECT_EQ(arrays.lengths()[i], one(i).length);
    EXPECT_EQ(arrays.formats()[i], one(i).format);
  }
}

// Seen failing with one of the five arrays left behind when they grow.
TEST(ParamArrays, KeepWhatTheyHoldWhenTheyGrowAndWhenTheyAreCopied) {
  ParamArrays arrays;
  for (std::size_t i = 0; i < kMany; ++i) arrays.add(one(i));
  expect_many(arrays);
  ParamArrays copy = arrays;
  expect_many(copy);
  arrays.shorten(kMany - 1);
  arrays.add(one(0));
  expect_many(copy);
  arrays = std::move(copy);
  expect_many(arrays);
}

TEST(ParamArrays, WithoutAnyThereIsNoMemory) {
  const ParamArrays none;
  const ParamArrays copy = none;
  EXPECT_EQ(copy.size(), 0u);
  EXPECT_EQ(copy.capacity(), 0u);
  EXPECT_EQ(copy.values(), nullptr);
}

}  // namespace tidegate::pq_test
