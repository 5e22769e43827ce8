// The one include for applications.
#pragma once

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/error.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/base/version.hpp>
#include <tidegate/lifecycle/shutdown_plan.hpp>
#include <tidegate/lifecycle/signal_waiter.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/errors.hpp>
#include <tidegate/pool/hooks.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pool/observer.hpp>
#include <tidegate/pool/pool.hpp>
#include <tidegate/pool/pooled_transaction.hpp>
#include <tidegate/pool/registry.hpp>
#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/rows.hpp>
#include <tidegate/pq/transaction.hpp>
#include <tidegate/watch/stats.hpp>
