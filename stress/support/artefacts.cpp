#include "support/artefacts.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <base/json.hpp>

namespace tidegate::stress {
namespace {

std::string folder_of_run;
std::string report_path;
// The report up to its verdict. Longer runs than this has place for lose their last scenarios.
std::array<char, 64 * 1024> head;
std::size_t head_size = 0;
std::string running;

void append(std::string_view text) noexcept {
  const std::size_t size = std::min(text.size(), head.size() - head_size);
  text.copy(head.data() + head_size, size);
  head_size += size;
}

bool write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// Without the characters that JSON does not take as they are.
void write_plain(int fd, std::string_view text) noexcept {
  for (char c : text) {
    if (c == '\n') c = ' ';
    if (c == '"' || c == '\\') c = '\'';
    if (static_cast<unsigned char>(c) >= ' ') write_all(fd, {&c, 1});
  }
}

// Runs it with its output appended to `path`. False: it is not installed, or had no success.
bool run_into(const std::string& path, std::initializer_list<const char*> words) {
  std::array<char*, 16> argv{};
  std::size_t i = 0;
  for (const char* word : words) argv[i++] = const_cast<char*>(word);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return error == 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

std::string first_line(const std::filesystem::path& file) {
  std::string line;
  std::getline(std::ifstream(file), line);
  return line;
}

}  // namespace

void set_artefacts(const std::string& folder, std::uint64_t seed, const std::string& replay,
                   std::string_view build) {
  if (folder.empty()) return;
  folder_of_run = folder;
  report_path = folder + "/report.json";
  append("{\"seed\": " + std::to_string(seed) + ",\n \"replay\": " + detail::json_string(replay) +
         ",\n \"build\": " + detail::json_string(build) + ",\n \"scenarios\": [");
}

std::string artefacts_line() {
  return folder_of_run.empty() ? "" : "artefacts: " + folder_of_run + "\n";
}

void begin_in_report(std::string_view scenario) {
  running = scenario;
  write_report("INTERRUPTED", -1, "");
}

void passed_in_report(std::uint64_t passes, const Watchdog::Tally& tally,
                      std::chrono::duration<double> took) {
  if (head_size == 0) return;  // no artefacts are wanted
  std::array<char, 256> line;
  const int size = std::snprintf(
      line.data(), line.size(),
      "%s\n  {\"name\": \"%s\", \"passes\": %llu, \"acquires\": %llu, \"leases\": %llu, "
      "\"closes\": %llu, \"seconds\": %.3f}",
      head[head_size - 1] == '[' ? "" : ",", running.c_str(),
      static_cast<unsigned long long>(passes), static_cast<unsigned long long>(tally.acquires),
      static_cast<unsigned long long>(tally.leases), static_cast<unsigned long long>(tally.closes),
      took.count());
  if (head_size + static_cast<std::size_t>(size) < head.size()) append(line.data());
  running.clear();
}

void write_report(std::string_view verdict, int status, std::string_view what) noexcept {
  if (report_path.empty()) return;
  const int fd = ::open(report_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  write_all(fd, {head.data(), head_size});
  write_all(fd, "\n ],\n \"unfinished\": \"");
  write_all(fd, running);
  write_all(fd, "\",\n \"verdict\": \"");
  write_all(fd, verdict);
  std::array<char, 32> number;
  std::snprintf(number.data(), number.size(), "\",\n \"status\": %d", status);
  write_all(fd, number.data());
  write_all(fd, ",\n \"what\": \"");
  write_plain(fd, what);
  write_all(fd, "\"}\n");
  ::close(fd);
}

void write_stacks() {
  const std::string path = folder_of_run.empty() ? "/dev/stdout" : folder_of_run + "/stacks";
  const std::string pid = std::to_string(::getpid());
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // where a child may not look at its parent (Yama)
  if (run_into(path, {"eu-stack", "-p", pid.c_str()}) ||
      run_into(path, {"gdb", "-p", pid.c_str(), "-batch", "-ex", "thread apply all bt"})) {
    return;
  }
  std::ofstream out(path, std::ios::app);
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    out << task.path().filename().string() << ' ' << first_line(task.path() / "comm") << ": "
        << first_line(task.path() / "syscall") << '\n';
  }
  out << "(install elfutils or gdb for stacks)\n";
}

}  // namespace tidegate::stress
