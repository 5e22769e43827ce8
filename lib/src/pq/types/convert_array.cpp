#include <tidegate/pq/field.hpp>

#include <algorithm>
#include <string_view>

#include "pq/types/oids.hpp"

// An array's text form: {1,2,NULL,"a \"quoted\" one"}, after "[2:4]=" when its lower bound is
// not 1 (documentation: 8.15.6, Array Input and Output Syntax).
namespace tidegate {
namespace {

constexpr const char* kNoArray = "it is not in the text form of an array";

}  // namespace

ArrayReader::ArrayReader(const Field& array) : element_(array), array_(array), rest_(array.text()) {
  element_.type_ = pq::element_type(array.type());
  if (rest_.starts_with('[')) rest_.remove_prefix(std::min(rest_.find('=') + 1, rest_.size()));
  if (!rest_.starts_with('{')) array_.refuse(kNoArray);
  rest_.remove_prefix(1);
}

bool ArrayReader::next() {
  if (rest_.starts_with('}')) {
    if (rest_.size() > 1) array_.refuse(kNoArray);
    return false;
  }
  if (!first_) {
    if (!rest_.starts_with(',')) array_.refuse(kNoArray);
    rest_.remove_prefix(1);
  }
  first_ = false;
  if (rest_.starts_with('{')) array_.refuse("it has more than one dimension");
  rest_.starts_with('"') ? read_quoted() : read_bare();
  return true;
}

void ArrayReader::read_quoted() {
  unescaped_.clear();
  std::size_t i = 1;
  for (; i < rest_.size() && rest_[i] != '"'; ++i) {
    if (rest_[i] == '\\' && i + 1 < rest_.size()) ++i;
    unescaped_ += rest_[i];
  }
  if (i >= rest_.size()) array_.refuse(kNoArray);
  rest_.remove_prefix(i + 1);
  element_.text_ = unescaped_;
  element_.null_ = false;
}

void ArrayReader::read_bare() {
  const std::size_t size = rest_.find_first_of(",}");
  if (size == std::string_view::npos || size == 0) array_.refuse(kNoArray);
  element_.text_ = rest_.substr(0, size);
  element_.null_ = element_.text_ == "NULL";
  if (element_.null_) element_.text_ = {};
  rest_.remove_prefix(size);
}

}  // namespace tidegate
