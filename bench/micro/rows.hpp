// The rows of the micro suite; each function is in the file that asks its question.
#pragma once

namespace bench {

void add_acquire_release_rows();
void add_pool_size_rows();
void add_handover_rows();
void add_exhausted_rows();
void add_observer_rows();
void add_look_rows();
void add_close_rows();
void add_close_bounds_rows();

}  // namespace bench
