#include <tidegate/pq/convert.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <gmock/gmock.h>

#include "unit/pq/made_rows.hpp"

namespace tidegate::pq_test {

using testing::HasSubstr;

TEST(Convert, BooleansAreTAndFOnTheWayInAndWordsOnTheWayOut) {
  EXPECT_TRUE(read<bool>(kBool, "t"));
  EXPECT_FALSE(read<bool>(kBool, "f"));
  EXPECT_EQ(sent(true), "true");
  EXPECT_EQ(sent(false), "false");
  EXPECT_THAT(refusal<bool>(kText, "yes"), HasSubstr("it is not a boolean"));
}

template <class T>
class ConvertInteger : public testing::Test {};
using Integers =
    testing::Types<short, int, long, long long, unsigned short, unsigned, unsigned long>;
static_assert(pq::Integer<std::int16_t> && pq::Integer<std::int64_t> && !pq::Integer<char> &&
              !pq::Integer<bool> && !pq::Integer<signed char> && !pq::Integer<char32_t>);
TYPED_TEST_SUITE(ConvertInteger, Integers);

TYPED_TEST(ConvertInteger, ReadsAndSendsItsWholeRange) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const TypeParam value : {Limits::min(), Limits::max(), TypeParam{0}, TypeParam{42}}) {
    EXPECT_EQ(read<TypeParam>(kInt8, std::to_string(value)), value);
    EXPECT_EQ(sent(value), std::to_string(value));
  }
}

TYPED_TEST(ConvertInteger, RefusesWhatDoesNotFit) {
  using Limits = std::numeric_limits<TypeParam>;
  const auto tenfold = [](TypeParam value) { return std::to_string(value) + "0"; };
  EXPECT_THAT(refusal<TypeParam>(kNumeric, tenfold(Limits::max())), HasSubstr("out of range"));
  const std::string below = std::is_signed_v<TypeParam> ? tenfold(Limits::min()) : "-1";
  EXPECT_THAT(refusal<TypeParam>(kNumeric, below), HasSubstr("out of range"));
}

TYPED_TEST(ConvertInteger, RefusesWhatIsNoWholeNumber) {
  for (const char* text : {"", "x", "1.5", "1 ", " 1", "0x1", "1e3", "-", "--1"}) {
    EXPECT_THAT(refusal<TypeParam>(kText, text), HasSubstr("it is not a whole number")) << text;
  }
}

TEST(Convert, OneAboveAndBelowTheRangeOfIntIsRefused) {
  EXPECT_EQ(read<int>(kInt8, "2147483647"), 2147483647);
  EXPECT_THAT(refusal<int>(kInt8, "2147483648"), HasSubstr("out of range"));
  EXPECT_EQ(read<int>(kInt8, "-2147483648"), std::numeric_limits<int>::min());
  EXPECT_THAT(refusal<int>(kInt8, "-2147483649"), HasSubstr("out of range"));
}

TEST(Convert, DoublesSurviveTheWayOutAndBackBitForBit) {
  for (const double value : {0.0, -0.0, 0.1, 1.0 / 3, 1e308, -5e-324, 123456789.123456789}) {
    const double back = read<double>(kFloat8, sent(value));
    EXPECT_EQ(back, value);
    EXPECT_EQ(std::signbit(back), std::signbit(value));
  }
  EXPECT_EQ(read<float>(kFloat8, sent(0.1F)), 0.1F);
}

TEST(Convert, InfinitiesAndNanAreSpelledAsPostgresqlSpellsThem) {
  EXPECT_EQ(sent(std::numeric_limits<double>::infinity()), "Infinity");
  EXPECT_EQ(sent(-std::numeric_limits<float>::infinity()), "-Infinity");
  EXPECT_EQ(sent(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_TRUE(std::isinf(read<double>(kFloat8, "-Infinity")));
  EXPECT_TRUE(std::isnan(read<float>(kFloat8, "NaN")));
}

TEST(Convert, AFloatThatWouldBecomeInfiniteIsRefused) {
  EXPECT_THAT(refusal<float>(kFloat8, "1e39"), HasSubstr("out of range"));
  EXPECT_THAT(refusal<double>(kNumeric, "1e400"), HasSubstr("out of range"));
  EXPECT_THAT(refusal<double>(kText, "1.5x"), HasSubstr("it is not a number"));
}

TEST(Convert, AnyTypeCanBeReadAsText) {
  EXPECT_EQ(read<std::string>(kNumeric, "12.50"), "12.50");
  EXPECT_EQ(read<std::string>(kText, std::string("a\tb")), "a\tb");
  const Rows rows = make_value(kInt4, "7");
  EXPECT_EQ(rows[0].get<std::string_view>(0), "7");
}

TEST(Convert, EveryKindOfTextCanBeSent) {
  char buffer[16] = "in a buffer";
  const char full[3] = {'a', 'b', 'c'};  // no NUL
  char* pointer = buffer;
  const char* null = nullptr;
  EXPECT_EQ(sent("literal"), "literal");
  EXPECT_EQ(sent(""), "");
  EXPECT_EQ(sent(buffer), "in a buffer");
  EXPECT_EQ(sent(full), "abc");
  EXPECT_EQ(sent(pointer), "in a buffer");
  EXPECT_EQ(sent(std::string("string")), "string");
  EXPECT_EQ(sent(std::string_view("a view of").substr(0, 6)), "a view");
  EXPECT_EQ(sent(null), std::nullopt);
}

TEST(Convert, NullIsNullptrNulloptAndAnEmptyOptional) {
  EXPECT_EQ(sent(nullptr), std::nullopt);
  EXPECT_EQ(sent(std::nullopt), std::nullopt);
  EXPECT_EQ(sent(std::optional<int>()), std::nullopt);
  EXPECT_EQ(sent(std::optional<int>(5)), "5");
  EXPECT_EQ(read<std::optional<int>>(kInt4, std::nullopt), std::nullopt);
  EXPECT_EQ(read<std::optional<int>>(kInt4, "5"), 5);
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

TEST(Convert, BytesAreReadFromBothTextFormsOfBytea) {
  const auto wanted =
      bytes_of(std::string("\0\x01\\'\xff"
                           "A",
                           6));
  EXPECT_EQ(read<std::vector<std::byte>>(kBytea, "\\x00015c27ff41"), wanted);
  EXPECT_EQ(read<std::vector<std::byte>>(kBytea, "\\x00015C27FF41"), wanted);
  EXPECT_EQ(read<std::vector<std::byte>>(kBytea, "\\000\\001\\\\'\\377A"), wanted);
  EXPECT_EQ(read<std::vector<std::byte>>(kBytea, "\\x"), bytes_of(""));
  EXPECT_EQ(read<std::vector<std::byte>>(kBytea, ""), bytes_of(""));
}

TEST(Convert, BytesAreNotReadFromWhatIsNoBytea) {
  using Bytes = std::vector<std::byte>;
  EXPECT_THAT(refusal<Bytes>(kText, "\\x00"), HasSubstr("it is not a bytea"));
  for (const char* text : {"\\x0", "\\x0g", "\\", "\\1", "\\12", "\\128", "\\400", "a\\q"}) {
    EXPECT_THAT(refusal<Bytes>(kBytea, text), HasSubstr("not in a text form of bytea")) << text;
  }
}

TEST(Convert, BytesAreSentAsBinaryBytea) {
  const auto bytes = bytes_of(std::string("\0\1", 2));
  Params params;
  params.bind(bytes);
  params.bind(std::span<const std::byte>(bytes));
  params.bind(std::vector<std::byte>());
  params.seal();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(params.formats()[i], 1);
    EXPECT_EQ(params.types()[i], kBytea);
    EXPECT_NE(params.values()[i], nullptr) << "an empty value is not NULL";
    EXPECT_EQ(params.lengths()[i], i < 2 ? 2 : 0);
  }
}

TEST(Convert, UuidsAreReadAndWrittenInTheUsualForm) {
  const std::string text = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  const Uuid uuid = read<Uuid>(kUuid, text);
  EXPECT_EQ(uuid.bytes[0], std::byte{0xa0});
  EXPECT_EQ(uuid.bytes[15], std::byte{0x11});
  EXPECT_EQ(uuid.to_string(), text);
  EXPECT_EQ(sent(uuid), text);
  EXPECT_EQ(Uuid::parse("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), uuid);
  EXPECT_LT(Uuid(), uuid);
  for (const char* wrong :
       {"", "a0eebc99", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111", "a0eebc99x9c0b-4ef8-bb6d-6bb9bd380a11",
        "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11-"}) {
    EXPECT_FALSE(Uuid::parse(wrong)) << wrong;
  }
  EXPECT_THAT(refusal<Uuid>(kText, "x"), HasSubstr("it is not a uuid"));
}

TEST(Convert, JsonAndNumericAreTheirText) {
  EXPECT_EQ(read<Json>(kJsonb, R"({"a": 1})"), (Json{R"({"a": 1})"}));
  EXPECT_EQ(sent(Json{"[1]"}), "[1]");
  EXPECT_EQ(read<Numeric>(kNumeric, "-12.50"), (Numeric{"-12.50"}));
  EXPECT_EQ(sent(Numeric{"0.10"}), "0.10");
}

TEST(Convert, ANulInTextIsRefusedBeforeAnythingIsSentAndNamesTheParameter) {
  Params params;
  params.clear(Location::current());
  params.bind(1);
  for (const auto& bind : {+[](Params& p) { p.bind(std::string("a\0b", 3)); },
                           +[](Params& p) { p.bind(std::string_view("a\0b", 3)); },
                           +[](Params& p) { p.bind(Json{std::string("\0", 1)}); }}) {
    try {
      bind(params);
      ADD_FAILURE() << "not refused";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("parameter $2 holds a NUL byte"));
      EXPECT_THAT(error.what(), HasSubstr("pq/convert_test.cpp:"));
    }
  }
}

// A user's type.
enum class Colour { red, green };

}  // namespace tidegate::pq_test

template <>
struct tidegate::Convert<tidegate::pq_test::Colour> {
  using Colour = tidegate::pq_test::Colour;
  static void encode(Colour c, Params& out) { out.text(c == Colour::red ? "red" : "green"); }
  static Colour decode(const Field& in) {
    const auto name = in.as<std::string_view>();
    if (name == "red") return Colour::red;
    if (name == "green") return Colour::green;
    in.refuse("no such colour");
  }
};

namespace tidegate::pq_test {

TEST(Convert, AUsersTypeWorksLikeABuiltInOne) {
  EXPECT_EQ(sent(Colour::green), "green");
  EXPECT_EQ(sent(std::optional<Colour>(Colour::red)), "red");
  EXPECT_EQ(sent(std::vector<Colour>{Colour::red, Colour::green}), R"({"red","green"})");
  EXPECT_EQ(read<Colour>(kText, "red"), Colour::red);
  EXPECT_EQ(read<std::optional<Colour>>(kText, std::nullopt), std::nullopt);
  EXPECT_EQ(read<std::vector<Colour>>(kTextArray, "{green}"), std::vector{Colour::green});
  const std::string text = refusal<Colour>(kText, "blue");
  EXPECT_THAT(text, HasSubstr("cannot be read as tidegate::pq_test::Colour: no such colour"));
}

// A user's type that says nothing, or too much.
struct Silent {};
struct Twice {};

}  // namespace tidegate::pq_test

template <>
struct tidegate::Convert<tidegate::pq_test::Silent> {
  static void encode(tidegate::pq_test::Silent, Params&) {}
};
template <>
struct tidegate::Convert<tidegate::pq_test::Twice> {
  static void encode(tidegate::pq_test::Twice, Params& out) {
    out.null();
    out.null();
  }
};

namespace tidegate::pq_test {

TEST(Convert, AnEncodeThatDoesNotWriteExactlyOneValueIsAUsageError) {
  EXPECT_THROW(sent(Silent()), UsageError);
  EXPECT_THROW(sent(Twice()), UsageError);
}

}  // namespace tidegate::pq_test
