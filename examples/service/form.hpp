// Forms: the names and values of a query, or of a form in a request's body.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace service {

using Params = std::multimap<std::string, std::string>;

// Adds what stands in `text`, which is as application/x-www-form-urlencoded says.
void add_form(Params& params, std::string_view text);

}  // namespace service
