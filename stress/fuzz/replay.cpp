// tidegate-fuzz-replay: feeds files to a target, without a fuzzer. So what one has found becomes a
// test by adding its file to the corpus.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "target.hpp"

namespace {

constexpr struct {
  std::string_view name;
  void (*run)(std::string_view);
} kTargets[] = {
    {"arrays", tidegate::fuzz::arrays},     {"conninfo", tidegate::fuzz::conninfo},
    {"duration", tidegate::fuzz::duration}, {"rows", tidegate::fuzz::rows},
    {"text", tidegate::fuzz::text},
};

std::vector<std::filesystem::path> files_in(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  return files;
}

int usage() {
  std::fputs("usage: tidegate-fuzz-replay TARGET FILE|FOLDER...\ntargets:", stderr);
  for (const auto& target : kTargets) std::fprintf(stderr, " %s", target.name.data());
  std::fputs("\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return usage();
  void (*run)(std::string_view) = nullptr;
  for (const auto& target : kTargets) {
    if (target.name == argv[1]) run = target.run;
  }
  if (run == nullptr) return usage();
  int inputs = 0;
  for (int i = 2; i < argc; ++i) {
    for (const auto& file : files_in(argv[i])) {
      std::ifstream in(file, std::ios::binary);
      if (!in) {
        std::fprintf(stderr, "tidegate-fuzz-replay: cannot read %s\n", file.c_str());
        return 2;
      }
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      std::printf("%s\n", file.filename().c_str());  // so that the one which ends it is known
      std::fflush(stdout);
      run(bytes);
      ++inputs;
    }
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 2;  // a corpus that is not there tests nothing
}
