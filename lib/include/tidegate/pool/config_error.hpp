// ConfigError: everything that is wrong with a configuration, at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

// Never holds a password or a piece of one, neither in what() nor in a problem.
// Copies share the list, so copying does not throw.
class TIDEGATE_API ConfigError : public Error {
 public:
  struct Problem {
    std::string field{};  // the member of PoolConfig: "max_size"; empty for an unknown key
    std::string key{};    // as a connection string spells it: "pool_max_conns"; may be empty
    std::string value{};  // what was given, "***" where it may be secret; empty = not shown
    std::string text{};   // what is wrong and what is allowed
  };

  // Needs: at least one problem, its value masked already.
  explicit ConfigError(std::vector<Problem> problems, Location where = {});
  ConfigError(const ConfigError&) = default;
  ConfigError& operator=(const ConfigError&) = default;
  ~ConfigError() override;

  const std::vector<Problem>& problems() const noexcept { return *problems_; }

 private:
  std::shared_ptr<const std::vector<Problem>> problems_;
};

}  // namespace tidegate
