// Reads the __PRETTY_FUNCTION__ of g++ and clang++. The two spell the same function differently:
//
//   g++      void ns::Tp<T>::f() const [with T = int]     ns::Tp<int>::f() const::<lambda()>
//   clang++  void ns::Tp<int>::f() const [T = int]        auto ns::Tp<int>::f()::(anonymous
//   class)::operator()() const
//
// and both give "ns::Tp::f" and "ns::Tp::f(lambda)" here. From 22 on clang++ writes "(lambda)" for
// "(anonymous class)", and "(unnamed struct)", as g++ writes "<unnamed struct>", for what was and
// is "(anonymous struct)" here.
#include <tidegate/base/location.hpp>

namespace tidegate {
namespace {

constexpr std::string_view kLambda = "(lambda)";
constexpr std::string_view kOperator = "operator";

constexpr bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '~' || c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

// Walks the text once, left to right. `name_` is the qualified name read so far; a blank, '*' or
// '&' outside all brackets ends a return type and starts it afresh.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::string read() {
    while (!rest_.empty() && !done_) step();
    if (name_.ends_with("::")) name_.resize(name_.size() - 2);
    return std::move(name_);
  }

 private:
  void step() {
    const char c = rest_.front();
    if (at_operator()) {
      read_operator();
    } else if (take("{anonymous}") || take("(anonymous namespace)")) {
      append("(anonymous namespace)");
    } else if (rest_.starts_with("<lambda")) {
      skip_brackets();
      append_lambda();
    } else if (take("(anonymous class)::operator()") || take("(lambda)::operator()")) {
      append_lambda();
    } else if (rest_.starts_with("<unnamed ") || rest_.starts_with("(unnamed ")) {
      const auto kind = rest_.substr(9, rest_.find_first_of(">)") - 9);  // "struct"
      append(std::string("(anonymous ").append(kind).append(")"));
      skip_brackets();
    } else if (rest_.starts_with("(anonymous ") || (c == '(' && starts_name())) {
      const auto from = rest_;
      skip_brackets();
      append(from.substr(0, from.size() - rest_.size()));
    } else if (c == '(' && ends_name()) {
      skip_brackets();  // the parameter list
      after_function();
    } else if (c == '<' || c == '[' || c == '{') {
      if (c == '[' && restart_) {  // " [with T = int]" of a lambda, which has no parameter list
        done_ = true;
      } else {
        skip_brackets();
      }
    } else if (c == ':' || is_name_char(c)) {
      append(rest_.substr(0, 1));
      rest_.remove_prefix(1);
    } else {  // ' ', '*', '&', and the '(' of a declarator as in "int (&f())[3]"
      restart_ = true;
      rest_.remove_prefix(1);
    }
  }

  // "operator" as a whole word, where a component of the name begins.
  bool at_operator() const {
    if (!rest_.starts_with(kOperator) || rest_.size() == kOperator.size()) return false;
    const bool word = !is_name_char(rest_[kOperator.size()]);
    return word && (restart_ || name_.empty() || name_.ends_with("::"));
  }

  // The operator's name ends at its parameter list. "operator()" and conversions need care: the
  // type of a conversion has blanks and brackets of its own.
  void read_operator() {
    std::size_t n = kOperator.size();
    if (rest_.substr(n).starts_with("()")) {
      n += 2;
    } else if (rest_[n] == ' ') {
      while (n < rest_.size() && rest_[n] != '(') {
        n = rest_[n] == '<' ? rest_.size() - past_brackets(rest_.substr(n)).size() : n + 1;
      }
    } else {
      while (n < rest_.size() && rest_[n] != '(') ++n;
    }
    std::string_view text = rest_.substr(0, n);
    rest_.remove_prefix(n);
    append(text);
    operator_ = true;
    // g++ writes "operator delete [](void*)".
    if (name_.ends_with(" []")) name_.erase(name_.size() - 3, 1);
  }

  // Behind a parameter list: either the function ends here, or something local to it follows.
  void after_function() {
    operator_ = false;
    auto ahead = rest_;
    for (bool more = true; more;) {
      more = false;
      for (const std::string_view word : {" const", " volatile", " noexcept", " &&", " &"}) {
        if (ahead.starts_with(word)) {
          ahead.remove_prefix(word.size());
          more = true;
        }
      }
    }
    if (ahead.starts_with("::")) {
      rest_ = ahead.substr(2);
      append("::");
      local_ = true;
    } else {
      done_ = true;
    }
  }

  // One "(lambda)" stands for any depth of lambdas, and follows its function without "::".
  void append_lambda() {
    if (local_ && name_.ends_with("::")) name_.resize(name_.size() - 2);
    if (!name_.ends_with(kLambda)) append(kLambda);
    if (rest_.starts_with("(")) skip_brackets();
    after_function();
  }

  // True where '(' opens a parameter list: directly behind a name or an operator.
  bool ends_name() const {
    return !restart_ && !name_.empty() && (operator_ || !name_.ends_with(':')) &&
           !name_.ends_with("decltype") && !name_.ends_with("decltype(auto)");
  }
  // True for the '(' of decltype(...), which belongs to a return type.
  bool starts_name() const { return !restart_ && name_.ends_with("decltype"); }

  void append(std::string_view text) {
    if (restart_) {
      name_.clear();
      restart_ = false;
      local_ = false;
    }
    name_ += text;
  }

  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  void skip_brackets() { rest_ = past_brackets(rest_); }

  // What follows the group that `text` opens. A character literal may be a template argument.
  static std::string_view past_brackets(std::string_view text) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\'' || c == '"') {
        const auto end = text.find(c, i + (i + 1 < text.size() && text[i + 1] == '\\' ? 3 : 1));
        if (end == text.npos) return {};
        i = end;
      } else if (c == '(' || c == '<' || c == '[' || c == '{') {
        ++depth;
      } else if (c == ')' || c == '>' || c == ']' || c == '}') {
        if (c == '>' && text[i - 1] == '-') continue;
        if (--depth == 0) return text.substr(i + 1);
      }
    }
    return {};
  }

  std::string_view rest_;
  std::string name_{};
  bool restart_ = false;   // the next piece of a name begins a new one
  bool operator_ = false;  // name_ ends in an operator
  bool local_ = false;     // name_ ends in "::" behind a function
  bool done_ = false;
};

}  // namespace

std::string detail::qualified_name(std::string_view pretty) {
  std::string name = Reader(pretty).read();
  return name.empty() ? std::string(pretty) : name;
}

}  // namespace tidegate
