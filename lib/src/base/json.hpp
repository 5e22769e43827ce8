// JSON text, as much of it as the reports need.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::detail {

// A JSON string (RFC 8259, section 7), quotes included: nothing of the text is lost or cut, except
// that bytes that are not UTF-8 become U+FFFD. It also escapes control characters and everything
// else that printable() escapes, so that a terminal may show it.
std::string json_string(std::string_view text);

}  // namespace tidegate::detail
