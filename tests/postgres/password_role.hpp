// A role that must show its password over TCP; the tests' server asks nobody else for one.
#pragma once

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "pq_support.hpp"

namespace tidegate::pq_test {

// As long as it lives there is the role "careful" with the password "right".
class PasswordRole {
 public:
  PasswordRole() {
    admin_.exec_script("drop role if exists careful; create role careful login password 'right'");
    rules_file_ = admin_.query_value<std::string>("show hba_file");
    std::ifstream rules(rules_file_);
    rules_.assign(std::istreambuf_iterator<char>(rules), {});
    write_rules("host all careful all scram-sha-256\n" + rules_);
    // The postmaster reads its rules when it gets to it.
    const Deadline give_up = kLong;
    while (try_connect(tcp({{"user", "careful"}}))) {
      if (give_up.passed()) throw std::runtime_error("the server goes on trusting everybody");
    }
  }
  ~PasswordRole() {
    write_rules(rules_);
    admin_.exec("drop role careful");
  }
  PasswordRole(const PasswordRole&) = delete;
  PasswordRole& operator=(const PasswordRole&) = delete;

 private:
  void write_rules(const std::string& text) {
    std::ofstream(rules_file_) << text;
    admin_.exec("select pg_reload_conf()");
  }

  Connection admin_ = connect_to_server();
  std::string rules_file_;
  std::string rules_;
};

}  // namespace tidegate::pq_test
