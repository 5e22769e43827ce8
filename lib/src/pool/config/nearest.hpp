// Finds the word that somebody probably meant.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace tidegate::detail {

// How many letters must be added, dropped, changed or swapped with their neighbour to make one word
// of the other (optimal string alignment distance).
std::size_t edit_distance(std::string_view a, std::string_view b);

struct Nearest {
  std::string_view word{};
  std::size_t distance = 0;
};
// The first of the candidates with the least distance. Needs: at least one candidate.
Nearest nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// Whether `distance` may be a slip of the finger in `word`: one letter in three, at least one.
bool is_typo(std::string_view word, std::size_t distance) noexcept;

}  // namespace tidegate::detail
