// Conversions of std::optional (NULL) and std::vector (arrays). Included by convert.hpp.
#pragma once

#include <tidegate/pq/convert_trait.hpp>

namespace tidegate {

// NULL is nullopt.
template <class T>
  requires pq::Encodable<T> || pq::Decodable<T>
struct Convert<std::optional<T>> {
  static constexpr bool accepts_null = true;
  static std::string name() { return "std::optional<" + pq::cpp_name<T>() + ">"; }
  static void encode(const std::optional<T>& value, Params& out)
    requires pq::Encodable<T>
  {
    value ? Convert<T>::encode(*value, out) : out.null();
  }
  static std::optional<T> decode(const Field& in)
    requires pq::Decodable<T>
  {
    if (in.is_null()) return std::nullopt;
    return in.as<T>();
  }
};

// A one-dimensional array. Reading drops its lower bound; elements that may be NULL need
// std::vector<std::optional<T>>.
template <class T>
  requires pq::Encodable<T> || pq::Decodable<T>
struct Convert<std::vector<T>> {
  static std::string name() { return "std::vector<" + pq::cpp_name<T>() + ">"; }
  static void encode(const std::vector<T>& value, Params& out)
    requires pq::Encodable<T>
  {
    out.begin_array();
    for (auto&& element : value) Convert<T>::encode(element, out);
    out.end_array();
  }
  static std::vector<T> decode(const Field& in)
    requires pq::Decodable<T> && (!pq::is_view<T>)
  {
    std::vector<T> all;
    ArrayReader elements(in);
    while (elements.next()) all.push_back(elements.element().template as<T>());
    return all;
  }
};

}  // namespace tidegate
