// PG* environment variables for the length of a test.
#pragma once

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace tidegate::test {

// Takes PG* variables out of the environment, or sets some, and puts them back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& wanted = {}) {
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
                             "PGSERVICE", "PGSERVICEFILE"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : wanted) {
      set_.push_back(name);
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;
  ~Environment() {
    for (const auto& name : set_) ::unsetenv(name.c_str());
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::map<std::string, std::string> before_{};
  std::vector<std::string> set_{};
};

}  // namespace tidegate::test
