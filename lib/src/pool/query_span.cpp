#include <tidegate/pool/query_span.hpp>

#include <charconv>

#include <tidegate/watch/query_text.hpp>

namespace tidegate {
namespace {

class Attributes {
 public:
  Attributes& add(std::string_view name, std::string value) {
    if (!value.empty()) all_.emplace_back(name, std::move(value));
    return *this;
  }
  Attributes& add(std::string_view name, std::int64_t value) {
    all_.emplace_back(name, value);
    return *this;
  }
  SpanAttributes done() { return std::move(all_); }

 private:
  SpanAttributes all_{};
};

std::string operation(const QueryStarted& statement) {
  const std::string name = operation_of(statement.text);
  return statement.kind == QueryKind::batch ? "BATCH " + name : name;
}

}  // namespace

std::string span_name(const QueryStarted& statement) {
  const std::string summary = summary_of(statement.text);
  if (summary.empty()) return "postgresql";
  return statement.kind == QueryKind::batch ? "BATCH " + summary : summary;
}

SpanAttributes span_attributes(const QueryStarted& statement) {
  Attributes all;
  all.add("db.system.name", "postgresql")
      .add("db.namespace", std::string(statement.database))
      .add("db.operation.name", operation(statement))
      .add("db.query.summary", span_name(statement))
      .add("db.query.text", without_literals(statement.text));
  if (statement.kind == QueryKind::batch && statement.statements > 1) {
    all.add("db.operation.batch.size", static_cast<std::int64_t>(statement.statements));
  }
  all.add("server.address", std::string(statement.host));
  std::int64_t port = 0;
  const std::string_view text = statement.port;
  std::from_chars(text.data(), text.data() + text.size(), port);
  if (port != 0) all.add("server.port", port);
  if (statement.where.known()) {
    all.add("code.function.name", statement.where.function())
        .add("code.file.path", std::string(statement.where.file()))
        .add("code.line.number", statement.where.line());
  }
  return all.done();
}

SpanAttributes span_attributes(const QueryEnded& end) {
  Attributes all;
  all.add("db.response.returned_rows", static_cast<std::int64_t>(end.rows));
  if (!end.failed) return all.done();
  const std::string sqlstate(end.sqlstate);
  all.add("db.response.status_code", sqlstate);
  const std::string code = end.error ? std::string(to_string(*end.error)) : "_OTHER";
  all.add("error.type", sqlstate.empty() ? code : sqlstate);
  return all.done();
}

}  // namespace tidegate
