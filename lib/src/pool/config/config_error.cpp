#include <tidegate/pool/config_error.hpp>

#include <utility>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

using detail::one_line;
using Problem = ConfigError::Problem;

// "max_size (pool_max_conns)", or whichever of the two exists.
std::string name_of(const Problem& problem) {
  const std::string field = one_line(problem.field);
  const std::string key = one_line(problem.key);
  if (field.empty()) return key;
  if (key.empty() || key == field) return field;
  return field + " (" + key + ")";
}

std::string line_of(const Problem& problem) {
  std::string line = name_of(problem);
  if (!problem.value.empty()) line += " = \"" + one_line(problem.value) + '"';
  return line + ": " + one_line(problem.text);
}

// One problem fits the first line; of several it names the fields, and each has its line below.
std::string config_text(const std::vector<Problem>& problems, Location where) {
  std::string text = "bad pool configuration: ";
  if (problems.size() == 1) {
    text += line_of(problems.front());
  } else {
    text += detail::counted(problems.size(), "problem");
    for (const auto& problem : problems) {
      text += (&problem == problems.data() ? ": " : ", ") + name_of(problem);
    }
    for (const auto& problem : problems) text += "\n  " + line_of(problem);
  }
  if (where.known()) text += "\n  this configuration: " + detail::short_place(where);
  return text;
}

}  // namespace

ConfigError::ConfigError(std::vector<Problem> problems, Location where)
    : Error(Errc::config, config_text(problems, where), where),
      problems_(std::make_shared<const std::vector<Problem>>(std::move(problems))) {}
ConfigError::~ConfigError() = default;

}  // namespace tidegate
