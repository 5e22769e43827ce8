// Companion: a program that a test has beside it, such as a second server, and that ends with it.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/pq/file_descriptor.hpp>

namespace tidegate::test {

inline std::filesystem::path repository() {
  return std::filesystem::path(TIDEGATE_WITH_POSTGRES).parent_path().parent_path();
}

// It says a line when it is ready, answers each line that it is told with one, and ends when its
// standard input does.
class Companion {
 public:
  // Throws std::runtime_error when it ends before it says something.
  explicit Companion(std::vector<std::string> command) : name_(command.front()) {
    auto [to_read, to_tell] = make_pipe();
    auto [to_hear, to_say] = make_pipe();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_read.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, to_say.get(), STDOUT_FILENO);
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    const int error = ::posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start " + name_);
    input_ = std::move(to_tell);
    output_ = std::move(to_hear);
    to_say.reset();
    std::istringstream words_said(hear());
    for (std::string word; words_said >> word;) said_.push_back(word);
  }
  ~Companion() {
    input_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;

  // The words of its first line.
  const std::string& said(std::size_t i) const { return said_.at(i); }
  std::string tell(const std::string& line) {
    const std::string bytes = line + "\n";
    if (::write(input_.get(), bytes.data(), bytes.size()) < 0) {
      throw std::runtime_error(name_ + " has gone");
    }
    return hear();
  }

 private:
  static std::pair<pq::FileDescriptor, pq::FileDescriptor> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    return {pq::FileDescriptor(ends[0]), pq::FileDescriptor(ends[1])};
  }
  std::string hear() {
    std::string line;
    for (char c = 0; c != '\n';) {
      if (::read(output_.get(), &c, 1) != 1) throw std::runtime_error(name_ + " has failed");
      line += c;
    }
    line.pop_back();
    return line;
  }

  std::string name_;
  pid_t pid_ = 0;
  pq::FileDescriptor input_{};
  pq::FileDescriptor output_{};
  std::vector<std::string> said_{};
};

// A server of the test's own, to be stopped and broken at will. On 127.0.0.1, and a Unix socket.
class OwnServer {
 public:
  explicit OwnServer(std::vector<std::string> options = {})
      : companion_(command(std::move(options))) {}

  const std::string& port() const { return companion_.said(0); }
  const std::string& socket_folder() const { return companion_.said(1); }
  int pid() const { return std::stoi(companion_.said(2)); }
  // With --ssl: what signed its certificate.
  const std::string& certificate_authority() const { return companion_.said(3); }

 private:
  static std::vector<std::string> command(std::vector<std::string> options) {
    std::vector<std::string> words{TIDEGATE_WITH_POSTGRES};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"sh", "-c",
                               "echo $PGPORT $PGHOST $TIDEGATE_PG_PID $TIDEGATE_PG_CA; "
                               "cat >/dev/null"});
    return words;
  }

  Companion companion_;
};

}  // namespace tidegate::test
