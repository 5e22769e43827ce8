#include <tidegate/base/location.hpp>

#include <vector>

#include <gtest/gtest.h>

namespace tidegate::location_test {

unsigned line_of_caller(Location where = Location::current()) { return where.line(); }

struct Server {
  std::string stop(int = 0) const { return Location::current().function(); }
  std::string in_lambda() const {
    return [] { return Location::current().function(); }();
  }
  template <class T>
  std::string in_template(std::vector<T>) {
    return Location::current().function();
  }
};

TEST(Location, DefaultArgumentNamesTheCaller) {
  const unsigned here = line_of_caller();
  EXPECT_EQ(here, static_cast<unsigned>(__LINE__) - 1);
}

TEST(Location, UnknownReadsAsUnknown) {
  constexpr Location nowhere;
  static_assert(!nowhere.known());
  EXPECT_EQ(nowhere.line(), 0u);
  EXPECT_EQ(nowhere.file(), "");
  EXPECT_EQ(nowhere.function(), "");
  EXPECT_EQ(nowhere.to_string(), "unknown place");
}

TEST(Location, FileIsTheLastTwoComponents) {
  EXPECT_EQ(Location::current().file(), "base/location_test.cpp");
  EXPECT_EQ(detail::short_path("/home/me/src/server.cpp"), "src/server.cpp");
  EXPECT_EQ(detail::short_path("src/server.cpp"), "src/server.cpp");
  EXPECT_EQ(detail::short_path("/server.cpp"), "/server.cpp");
  EXPECT_EQ(detail::short_path("server.cpp"), "server.cpp");
  EXPECT_EQ(detail::short_path(""), "");
}

TEST(Location, ToStringNamesFunctionFileAndLine) {
  const Location here = Location::current();
  EXPECT_EQ(here.to_string(),
            here.function() + " (base/location_test.cpp:" + std::to_string(here.line()) + ")");
}

#if defined(__cpp_lib_source_location)
TEST(Location, FunctionIsTheQualifiedName) {
  EXPECT_EQ(Server{}.stop(), "tidegate::location_test::Server::stop");
  EXPECT_EQ(Server{}.in_lambda(), "tidegate::location_test::Server::in_lambda(lambda)");
  EXPECT_EQ(Server{}.in_template(std::vector<int>{}),
            "tidegate::location_test::Server::in_template");
}

TEST(Location, IsOnePointer) { static_assert(sizeof(Location) == sizeof(void*)); }
#else
TEST(Location, FunctionIsTheBareName) { EXPECT_EQ(Server{}.stop(), "stop"); }
#endif

struct Spelling {
  const char* gcc;
  const char* clang;
  const char* name;
};

// Both compilers' words for one function, and what is shown. Taken from g++ 12 and clang++ 19;
// clang_22 says what clang++ 22 makes of the latter.
const Spelling kSpellings[] = {
    {"int main()", "int main()", "main"},
    {"void cfun()", "void cfun()", "cfun"},
    {"void a::Srv::stop()", "void a::Srv::stop()", "a::Srv::stop"},
    {"a::Srv::Srv()", "a::Srv::Srv()", "a::Srv::Srv"},
    {"constexpr Init::Init()", "Init::Init()", "Init::Init"},
    {"a::Srv::~Srv()", "a::Srv::~Srv()", "a::Srv::~Srv"},
    {"int a::Srv::cst(std::vector<int>, int (*)(char)) const volatile",
     "int a::Srv::cst(std::vector<int>, int (*)(char)) const volatile", "a::Srv::cst"},
    {"void a::Srv::lref() &&", "void a::Srv::lref() &&", "a::Srv::lref"},
    {"static std::map<int, std::__cxx11::basic_string<char> > a::Srv::stat()",
     "static std::map<int, std::string> a::Srv::stat()", "a::Srv::stat"},
    {"long long unsigned int f(long long unsigned int)", "unsigned long long f(unsigned long long)",
     "f"},
    {"a::Srv* a::g(a::Srv&)", "Srv *a::g(Srv &)", "a::g"},
    {"decltype(auto) a::dec()", "decltype(auto) a::dec()", "a::dec"},
    {"std::string a::tag[abi:cxx11](int)", "std::string a::tag(int)", "a::tag"},

    // Return types that wrap the name.
    {"void (* a::fptr(int))(char)", "void (*a::fptr(int))(char)", "a::fptr"},
    {"int (& a::arr())[3]", "int (&a::arr())[3]", "a::arr"},
    {"int a::Srv::* a::mp()", "int a::Srv::*a::mp()", "a::mp"},
    {"static void (* a::Tp<T, N>::fp())(int) [with T = std::vector<int>; int N = 3]",
     "static void (*a::Tp<std::vector<int>>::fp() [T = std::vector<int>, N = 3])(int)",
     "a::Tp::fp"},

    // Templates.
    {"T a::Srv::tret(T) [with T = std::__cxx11::basic_string<char>]",
     "T a::Srv::tret(T) [T = std::basic_string<char>]", "a::Srv::tret"},
    {"a::Tp<T, N>::Tp() [with T = std::vector<int>; int N = 3]",
     "a::Tp<std::vector<int>>::Tp() [T = std::vector<int>, N = 3]", "a::Tp::Tp"},
    {"a::Tp<T, N>::~Tp() [with T = std::vector<int>; int N = 3]",
     "a::Tp<std::vector<int>>::~Tp() [T = std::vector<int>, N = 3]", "a::Tp::~Tp"},
    {"void a::Tp<T, N>::In::h() [with T = int; int N = 3]",
     "void a::Tp<int>::In::h() [T = int, N = 3]", "a::Tp::In::h"},
    {"void a::vari(T ...) [with T = {int, double, const char*}]",
     "void a::vari(T...) [T = <int, double, const char *>]", "a::vari"},
    {"void a::conc(auto:12) [with auto:12 = int]", "void a::conc(auto) [x:auto = int]", "a::conc"},
    {"void a::chart() [with char C = '(']", "void a::chart() [C = '(']", "a::chart"},
    {"void a::C<C>::chart() [with char C = '>']", "void a::C<'>'>::chart() [C = '>']",
     "a::C::chart"},
    {"void a::C<C>::f() [with char C = '\\'']", "void a::C<'\\''>::f() [C = '\\'']", "a::C::f"},

    // Lambdas: the enclosing function, any depth.
    {"a::Srv::stop()::<lambda()>", "auto a::Srv::stop()::(anonymous class)::operator()() const",
     "a::Srv::stop(lambda)"},
    {"a::Srv::stop() const::<lambda()>",
     "auto a::Srv::stop()::(anonymous class)::operator()() const", "a::Srv::stop(lambda)"},
    {"a::Srv::stop()::<lambda(int)>::<lambda()>",
     "auto a::Srv::stop()::(anonymous class)::operator()(int)::(anonymous class)::operator()() "
     "const",
     "a::Srv::stop(lambda)"},
    {"a::Srv::stop()::<lambda(auto:11)> [with auto:11 = int]",
     "auto a::Srv::stop()::(anonymous class)::operator()(auto) const [auto:1 = int]",
     "a::Srv::stop(lambda)"},
    {"a::Tp<std::vector<int> >::f()::<lambda()>",
     "auto a::Tp<std::vector<int>>::f()::(anonymous class)::operator()() const [T = "
     "std::vector<int>]",
     "a::Tp::f(lambda)"},
    {"a::Srv::tmpl<int>(int)::<lambda()>",
     "auto a::Srv::tmpl(int)::(anonymous class)::operator()() const", "a::Srv::tmpl(lambda)"},
    {"a::Srv::Srv()::<lambda()>", "auto a::Srv::Srv()::(anonymous class)::operator()() const",
     "a::Srv::Srv(lambda)"},
    {"a::<lambda()>", "auto a::(anonymous class)::operator()() const", "a::(lambda)"},
    {"a::<lambda(auto:13)> [with auto:13 = int]",
     "auto a::(anonymous class)::operator()(auto) const [x:auto = int]", "a::(lambda)"},
    {"main()::<lambda()>", "auto main()::(anonymous class)::operator()() const", "main(lambda)"},
    {"void main()::<lambda()>::Q::z()", "void main()::(anonymous class)::operator()()::Q::z()",
     "main(lambda)::Q::z"},
    {"void a::Srv::stop()::L::f()", "void a::Srv::stop()::L::f()", "a::Srv::stop::L::f"},
    {"void a::Srv::stop() const::<unnamed struct>::m()",
     "void a::Srv::stop()::(anonymous struct)::m()", "a::Srv::stop::(anonymous struct)::m"},
    {"void a::<unnamed union>::q()", "void a::(anonymous union)::q()", "a::(anonymous union)::q"},

    // Anonymous namespaces.
    {"void a::{anonymous}::Anon::f()", "void a::(anonymous namespace)::Anon::f()",
     "a::(anonymous namespace)::Anon::f"},
    {"{anonymous}::Pool {anonymous}::make()", "Pool (anonymous namespace)::make()",
     "(anonymous namespace)::make"},
    {"a::{anonymous}::anon_free()::<lambda()>",
     "auto a::(anonymous namespace)::anon_free()::(anonymous class)::operator()() const",
     "a::(anonymous namespace)::anon_free(lambda)"},

    // Operators.
    {"bool a::Srv::operator()(int) const", "bool a::Srv::operator()(int) const",
     "a::Srv::operator()"},
    {"bool a::Srv::operator<(int) const", "bool a::Srv::operator<(int) const", "a::Srv::operator<"},
    {"bool a::Srv::operator<<(int) const", "bool a::Srv::operator<<(int) const",
     "a::Srv::operator<<"},
    {"auto a::Srv::operator<=>(int) const", "auto a::Srv::operator<=>(int) const",
     "a::Srv::operator<=>"},
    {"bool a::Srv::operator->*(int) const", "bool a::Srv::operator->*(int) const",
     "a::Srv::operator->*"},
    {"int a::Srv::operator[](int)", "int a::Srv::operator[](int)", "a::Srv::operator[]"},
    {"int a::Srv::operator,(int)", "int a::Srv::operator,(int)", "a::Srv::operator,"},
    {"a::Tp<T, N>& a::Tp<T, N>::operator=(const a::Tp<T, N>&) [with T = int; int N = 3]",
     "Tp<T, N> &a::Tp<int>::operator=(const Tp<T, N> &) [T = int, N = 3]", "a::Tp::operator="},
    {"bool a::operator==(const Srv&, const {anonymous}::Anon&)",
     "bool a::operator==(const Srv &, const Anon &)", "a::operator=="},
    {"long long unsigned int a::operator\"\"_x(long long unsigned int)",
     "unsigned long long a::operator\"\"_x(unsigned long long)", "a::operator\"\"_x"},
    {"static void* a::Srv::operator new(std::size_t)",
     "static void *a::Srv::operator new(std::size_t)", "a::Srv::operator new"},
    {"static void a::Srv::operator delete [](void*)",
     "static void a::Srv::operator delete[](void *)", "a::Srv::operator delete[]"},
    {"a::Srv::operator bool() const", "bool a::Srv::operator bool() const",
     "a::Srv::operator bool"},
    {"int operator_of(int)", "int operator_of(int)", "operator_of"},
    {"int a::my_operator(int)", "int a::my_operator(int)", "a::my_operator"},

    // __builtin_FUNCTION, where nothing better exists.
    {"stop", "stop", "stop"},
    {"operator()", "operator()", "operator()"},
    {"", "", ""},
};

// The words of clang++ 22 for what clang++ 19 calls `spelling`: a lambda is no "anonymous class"
// and a struct without a name no "anonymous struct" any more.
std::string clang_22(std::string spelling) {
  const auto put = [&spelling](std::string_view from, std::string_view to) {
    for (auto at = spelling.find(from); at != spelling.npos; at = spelling.find(from, at)) {
      spelling.replace(at, from.size(), to);
    }
  };
  put("(anonymous class)", "(lambda)");
  put("(anonymous struct)", "(unnamed struct)");
  put("(anonymous union)", "(unnamed union)");
  return spelling;
}

TEST(QualifiedName, ReadsBothCompilers) {
  for (const auto& spelling : kSpellings) {
    EXPECT_EQ(detail::qualified_name(spelling.gcc), spelling.name) << spelling.gcc;
    EXPECT_EQ(detail::qualified_name(spelling.clang), spelling.name) << spelling.clang;
    EXPECT_EQ(detail::qualified_name(clang_22(spelling.clang)), spelling.name) << spelling.clang;
  }
}

TEST(QualifiedName, OfAConversionKeepsTheTypeAsTheCompilerWritesIt) {
  EXPECT_EQ(detail::qualified_name("a::Srv::operator std::vector<int>() const"),
            "a::Srv::operator std::vector<int>");
  EXPECT_EQ(detail::qualified_name("std::vector<int> a::Srv::operator vector() const"),
            "a::Srv::operator vector");
  EXPECT_EQ(detail::qualified_name("a::Srv::operator std::function<void(int)>() const"),
            "a::Srv::operator std::function<void(int)>");
  EXPECT_EQ(detail::qualified_name("int *a::Srv::operator int *() const"),
            "a::Srv::operator int *");
}

TEST(QualifiedName, AnyPrefixIsReadWithoutHarm) {
  for (const auto& spelling : kSpellings) {
    const std::string newest = clang_22(spelling.clang);
    for (const std::string_view whole :
         {std::string_view(spelling.gcc), std::string_view(spelling.clang),
          std::string_view(newest)}) {
      for (std::size_t n = 0; n < whole.size(); ++n) {
        (void)detail::qualified_name(whole.substr(0, n));
        (void)detail::qualified_name(whole.substr(n));
      }
    }
  }
}

}  // namespace tidegate::location_test
