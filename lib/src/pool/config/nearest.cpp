#include "pool/config/nearest.hpp"

#include <algorithm>
#include <numeric>

namespace tidegate::detail {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows of the table for the prefixes of `a` that end two letters ago, one ago, and here.
  std::vector<std::size_t> two_ago(b.size() + 1);
  std::vector<std::size_t> one_ago(b.size() + 1);
  std::vector<std::size_t> here(b.size() + 1);
  std::iota(here.begin(), here.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    two_ago.swap(one_ago);
    one_ago.swap(here);
    here[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = a[i - 1] == b[j - 1] ? 0 : 1;
      here[j] = std::min({one_ago[j] + 1, here[j - 1] + 1, one_ago[j - 1] + changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        here[j] = std::min(here[j], two_ago[j - 2] + 1);
      }
    }
  }
  return here[b.size()];
}

Nearest nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  Nearest best{candidates.front(), edit_distance(word, candidates.front())};
  for (const auto candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best.distance) best = {candidate, distance};
  }
  return best;
}

bool is_typo(std::string_view word, std::size_t distance) noexcept {
  return distance <= std::max<std::size_t>(1, word.size() / 3);
}

}  // namespace tidegate::detail
