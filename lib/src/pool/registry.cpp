#include <tidegate/pool/registry.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <new>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/base/test_point.hpp>

#include "base/printable.hpp"
#include "pool/config/config_difference.hpp"

namespace tidegate {

struct PoolRegistry::Entry {
  std::string name;
  std::shared_ptr<Pool> pool;
  Location opened;
};

PoolRegistry::PoolRegistry() = default;

// In a child the list may not be whole: another thread of the parent was changing it. It is left.
PoolRegistry::~PoolRegistry() {
  if (!inherited()) return;
  [[maybe_unused]] auto* const left = new (std::nothrow) std::vector<Entry>(std::move(entries_));
}

// It ends with the process. A child's own registry replaces its parent's, which is left as it is.
PoolRegistry& PoolRegistry::global() {
  struct Current {
    ~Current() {
      const PoolRegistry* const last = registry.load();
      if (last != nullptr && !last->inherited()) delete last;
    }
    std::atomic<PoolRegistry*> registry{nullptr};
  };
  static Current current;
  PoolRegistry* seen = current.registry.load();
  while (seen == nullptr || seen->inherited()) {
    auto own = std::make_unique<PoolRegistry>();
    if (current.registry.compare_exchange_strong(seen, own.get())) return *own.release();
  }
  return *seen;
}

// Called before the lock is taken, because in a child nobody may be there to unlock it.
void PoolRegistry::refuse_if_inherited(Location where) const {
  if (!inherited()) return;
  throw Forked(
      "the registry was inherited by fork(): only the process that made it may use it\n  hint: "
      "PoolRegistry::global() is a new one in each process",
      where);
}

const PoolRegistry::Entry* PoolRegistry::find(std::string_view name) const noexcept {
  const auto at = std::find_if(entries_.begin(), entries_.end(),
                               [name](const Entry& entry) { return entry.name == name; });
  return at == entries_.end() ? nullptr : &*at;
}

std::shared_ptr<Pool> PoolRegistry::open(std::string_view name, PoolConfig config, Location where) {
  refuse_if_inherited(where);
  config.validate(where);
  if (!config.name) config.name = name;
  std::shared_ptr<Pool> closed;  // ends outside the lock, if it does here
  const detail::Lock lock(mutex_);
  const Entry* const entry = find(name);
  if (entry != nullptr && !entry->pool->closed()) {
    auto problems = detail::differences(config, entry->pool->config(),
                                        "pool \"" + detail::one_line(entry->name) +
                                            "\", opened by " + entry->opened.to_string() + ", has");
    if (!problems.empty()) throw ConfigError(std::move(problems), where);
    return entry->pool;
  }
  TIDEGATE_TEST_POINT("registry.making");
  auto pool = std::make_shared<Pool>(std::move(config), where);  // lazy: no I/O under the lock
  if (entry != nullptr) {
    closed = entry->pool;
    entries_.erase(entries_.begin() + (entry - entries_.data()));
  }
  entries_.push_back({std::string(name), pool, where});
  return pool;
}

std::shared_ptr<Pool> PoolRegistry::get(std::string_view name, Location where) const {
  refuse_if_inherited(where);
  const detail::Lock lock(mutex_);
  const Entry* const entry = find(name);
  if (entry != nullptr && !entry->pool->closed()) return entry->pool;
  std::string text = "registry: ";
  if (entry != nullptr) {
    text += "the pool \"" + detail::one_line(entry->name) + "\" is closed; open() makes a new one";
  } else {
    text += "there is no pool \"" + detail::one_line(name) + "\"";
    std::string names;
    for (const Entry& other : entries_)
      names += (names.empty() ? "" : ", ") + detail::one_line(other.name);
    text += names.empty() ? "; none was opened" : "; there are " + names;
  }
  throw UsageError(text, where);
}

std::vector<std::pair<std::string, CloseReport>> PoolRegistry::close_all(
    const CloseOptions& options, Location where) {
  refuse_if_inherited(where);
  std::vector<Entry> entries;
  {
    const detail::Lock lock(mutex_);
    entries = entries_;
  }
  std::vector<std::pair<std::string, CloseReport>> reports;
  std::exception_ptr failure;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    try {
      reports.emplace_back(entry->name, entry->pool->close(options, where));
    } catch (const Error&) {
      failure = std::current_exception();
    }
  }
  {
    const detail::Lock lock(mutex_);
    std::erase_if(entries_, [](const Entry& entry) { return entry.pool->closed(); });
  }
  if (failure) std::rethrow_exception(failure);
  return reports;
}

}  // namespace tidegate
