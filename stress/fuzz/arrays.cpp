// Arrays in the server's text form: any text gives elements or a QueryError, and the elements that
// were read, or made up, are sent and read back as they were.
#include <tidegate/tidegate.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "target.hpp"
#include "unit/pq/made_rows.hpp"

namespace tidegate::fuzz {
namespace {

constexpr Oid kTypes[] = {1000, 1001, 1007, 1009, 1016, 1022, 1115, 1185, 2951, 16386};

using Texts = std::vector<std::optional<std::string>>;

template <class T>
std::optional<std::vector<T>> read(Oid type, const std::string& text) {
  const Rows rows = pq_test::make_value(type, text);
  try {
    return rows[0].get<std::vector<T>>(0);
  } catch (const QueryError&) {
    return std::nullopt;
  }
}

void check_round_trip(const Texts& elements, const std::string& shown) {
  const auto sent = pq_test::sent(elements);
  expect(sent.has_value() && read<std::optional<std::string>>(1009, *sent) == elements,
         "the elements that are sent are read back", shown);
}

// Each byte 0xFF ends an element; one that begins with 0xFE is NULL. A NUL cannot be sent.
Texts made_up(std::string_view bytes) {
  Texts elements;
  while (!bytes.empty()) {
    const std::string_view element = bytes.substr(0, bytes.find('\xff'));
    bytes.remove_prefix(std::min(bytes.size(), element.size() + 1));
    if (element.starts_with('\xfe')) {
      elements.emplace_back();
    } else {
      elements.emplace_back(element.substr(0, element.find('\0')));
    }
  }
  return elements;
}

}  // namespace

void arrays(std::string_view bytes) {
  Input input(bytes);
  const Oid type = kTypes[input.byte() % std::size(kTypes)];
  const std::string text(input.rest().substr(0, 4096));
  const std::string shown = printable(text);

  const auto elements = read<std::optional<std::string>>(type, text);
  const auto plain = read<std::string>(type, text);
  expect(!plain || elements, "an element that may be NULL takes what another one takes", shown);
  if (elements) {
    const bool sendable = text.find('\0') == text.npos;
    if (sendable) check_round_trip(*elements, shown);
    const bool any_null =
        std::find(elements->begin(), elements->end(), std::nullopt) != elements->end();
    expect(plain.has_value() != any_null, "NULL is refused where it has no place", shown);
  }
  for (const bool read_as_others :
       {read<int>(type, text).has_value(), read<std::optional<double>>(type, text).has_value(),
        read<bool>(type, text).has_value(), read<std::vector<std::byte>>(type, text).has_value(),
        read<std::chrono::local_time<std::chrono::microseconds>>(type, text).has_value()}) {
    expect(!read_as_others || elements, "what is an array to one type is one to text", shown);
  }
  check_round_trip(made_up(text), shown);
}

}  // namespace tidegate::fuzz
