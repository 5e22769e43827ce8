#include <tidegate/base/location.hpp>

namespace tidegate {

std::string_view Location::file() const noexcept {
  return known() ? detail::short_path(raw_file()) : std::string_view{};
}

std::string Location::function() const { return detail::qualified_name(raw_function()); }

std::string Location::to_string() const {
  if (!known()) return "unknown place";
  std::string place = std::string(file()) + ':' + std::to_string(line());
  const std::string name = function();
  return name.empty() ? place : name + " (" + place + ')';
}

std::string_view detail::short_path(std::string_view path) noexcept {
  const auto last = path.rfind('/');
  if (last == path.npos || last == 0) return path;
  const auto before = path.rfind('/', last - 1);
  return before == path.npos ? path : path.substr(before + 1);
}

}  // namespace tidegate
