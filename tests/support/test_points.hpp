// Hold: stops a thread at one of the library's test points, so that an interleaving which is drawn
// in the code can be walked step by step. Only in builds with TIDEGATE_CHECKED.
#pragma once

#include <string_view>

namespace tidegate::test {

// From its construction the first thread that comes to `point` stops there, until release(). All
// others pass. Several holds may be alive at once; of two on the same point the older one catches
// first.
class Hold {
 public:
  explicit Hold(std::string_view point);
  ~Hold();  // releases
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  // Returns when a thread stands at the point.
  void await();
  void release();
  bool reached() const;

 private:
  static void hook(const char* name) noexcept;

  std::string_view point_;
  bool reached_ = false;
  bool released_ = false;
};

}  // namespace tidegate::test
