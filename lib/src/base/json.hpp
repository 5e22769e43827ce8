// JSON text, as far as the reports need it.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::detail {

// A JSON string (RFC 8259, section 7), quotes included: nothing of the text is lost or cut, except
// that bytes that are no UTF-8 become U+FFFD. Control characters and what else printable() escapes
// are escaped here, too, so that a terminal may show it.
std::string json_string(std::string_view text);

}  // namespace tidegate::detail
