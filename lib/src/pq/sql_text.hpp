// What has to be known about the text of a statement, and how names are put into one.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::pq {

// Whether its first word is COPY, behind blanks and comments.
bool is_copy_statement(std::string_view sql) noexcept;

// Appends the name in double quotes, so that it means exactly itself.
void append_identifier(std::string& out, std::string_view name);

}  // namespace tidegate::pq
