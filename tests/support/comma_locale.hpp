// CommaLocale: a program whose global locale writes numbers as in 1.234,5.
#pragma once

#include <clocale>
#include <locale>
#include <string>

namespace tidegate::test {

// While it lives. For streams in any case, for printf() as well if the machine has such a locale.
class CommaLocale {
 public:
  CommaLocale() {
    for (const char* const name : {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8"}) {
      if (std::setlocale(LC_NUMERIC, name) != nullptr) break;
    }
  }
  ~CommaLocale() {
    std::locale::global(before_);
    std::setlocale(LC_NUMERIC, "C");
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

 private:
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };

  const std::locale before_{std::locale::global({std::locale::classic(), new Comma})};
};

}  // namespace tidegate::test
