// docs/configuration.md says what the code has: every key, its default and what is allowed.
#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <pool/config/config_keys.hpp>

namespace tidegate::detail {
namespace {

// The rows of its tables that begin with a key: their first three cells, as they stand there.
std::vector<std::string> rows_of_the_page() {
  std::ifstream page(TIDEGATE_DOCS "/configuration.md");
  EXPECT_TRUE(page) << "docs/configuration.md is not there";
  std::vector<std::string> rows;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| `pool_")) continue;
    std::size_t end = 0;
    for (int cell = 0; cell < 3; ++cell) end = line.find('|', end + 1);
    rows.push_back(line.substr(0, end + 1));
  }
  return rows;
}

std::string default_of(const ConfigKey& key) {
  if (key.key == "pool_max_conns") return "the cores, 4 at least";  // differs between machines
  if (const auto value = write_value(key, PoolConfig{})) return '`' + *value + '`';
  return std::holds_alternative<std::optional<std::uint32_t> PoolConfig::*>(key.member) ? "`auto`"
                                                                                        : "unset";
}

// As the error has it that a value beyond all of it gets; a hundred years and the largest number
// are no bound that anybody needs to know.
std::string allowed_for(const ConfigKey& key) {
  for (const char* beyond : {"99999999999", "1000000h", "?"}) {
    PoolConfig config;
    std::string wrong = read_value(key, beyond, config).value_or("");
    if (!wrong.starts_with("allowed: ")) continue;
    wrong.erase(0, std::string_view("allowed: ").size());
    for (const std::string_view bound : {" to 876000h", " to 4294967295"}) {
      if (!wrong.ends_with(bound)) continue;
      wrong.erase(wrong.size() - bound.size());
      return wrong.find("from") == wrong.npos ? "from " + wrong : wrong;
    }
    return wrong;
  }
  return "text";
}

// Planted: another default, another bound, a key that the page does not have, one that only the
// page has.
TEST(ConfigPage, HasEveryKeyItsDefaultAndWhatIsAllowed) {
  std::vector<std::string> expected;
  for (const ConfigKey& key : config_keys()) {
    expected.push_back("| `" + std::string(key.key) + "` | " + default_of(key) + " | " +
                       allowed_for(key) + " |");
  }
  std::vector<std::string> rows = rows_of_the_page();
  std::sort(rows.begin(), rows.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace tidegate::detail
