#include "pq/types/oids.hpp"

#include <algorithm>
#include <string_view>

namespace tidegate::pq {
namespace {

struct Named {
  std::uint32_t type;
  std::string_view name;
};

constexpr Named kNames[] = {
    {16, "bool"},          {17, "bytea"},       {18, "char"},          {19, "name"},
    {20, "int8"},          {21, "int2"},        {23, "int4"},          {25, "text"},
    {26, "oid"},           {114, "json"},       {142, "xml"},          {199, "json[]"},
    {650, "cidr"},         {700, "float4"},     {701, "float8"},       {705, "unknown"},
    {790, "money"},        {829, "macaddr"},    {869, "inet"},         {1000, "bool[]"},
    {1001, "bytea[]"},     {1002, "char[]"},    {1005, "int2[]"},      {1007, "int4[]"},
    {1009, "text[]"},      {1014, "bpchar[]"},  {1015, "varchar[]"},   {1016, "int8[]"},
    {1021, "float4[]"},    {1022, "float8[]"},  {1028, "oid[]"},       {1042, "bpchar"},
    {1043, "varchar"},     {1082, "date"},      {1083, "time"},        {1114, "timestamp"},
    {1115, "timestamp[]"}, {1182, "date[]"},    {1184, "timestamptz"}, {1185, "timestamptz[]"},
    {1186, "interval"},    {1231, "numeric[]"}, {1266, "timetz"},      {1560, "bit"},
    {1562, "varbit"},      {1700, "numeric"},   {2249, "record"},      {2278, "void"},
    {2950, "uuid"},        {2951, "uuid[]"},    {3802, "jsonb"},       {3807, "jsonb[]"},
};

}  // namespace

std::string type_name(std::uint32_t type) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Named& n) { return n.type == type; });
  if (found != std::end(kNames)) return std::string(found->name);
  return "type with OID " + std::to_string(type);
}

std::uint32_t element_type(std::uint32_t array) noexcept {
  switch (array) {
    case oid::kByteaArray: return oid::kBytea;
    case oid::kTimestampArray: return oid::kTimestamp;
    case oid::kTimestamptzArray: return oid::kTimestamptz;
    default: return 0;
  }
}

}  // namespace tidegate::pq
