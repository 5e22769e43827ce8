// main() of the tests that need a PostgreSQL server: brings one along where there is none.
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

namespace {

bool only_lists_tests(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with("--gtest_list_tests")) return true;
  }
  return false;
}

// Starts this program again under scripts/with-postgres. Returns only when that fails.
void run_with_server(int argc, char** argv) {
  static char script[] = TIDEGATE_WITH_POSTGRES;
  std::vector<char*> command{script};
  command.insert(command.end(), argv, argv + argc);
  command.push_back(nullptr);
  execv(script, command.data());
  std::perror(script);
}

}  // namespace

int main(int argc, char** argv) {
  // Only with-postgres sets this: the tests never touch the server of somebody's own PGHOST.
  if (std::getenv("TIDEGATE_PG_DATADIR") == nullptr && !only_lists_tests(argc, argv)) {
    run_with_server(argc, argv);
    return 2;
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
