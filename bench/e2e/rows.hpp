// The rows of the end-to-end suite; each function is in the file that asks its question.
#pragma once

namespace bench {

void add_select_rows();
void add_batch_rows();
void add_copy_rows();
void add_coroutine_rows();
void add_lane_rows();
void add_large_rows();
void add_oversubscribed_rows();
void add_memory_rows();
void add_spike_rows();
void add_slow_connect_rows();
void add_close_under_load_rows();
void add_deadline_rows();
void add_floor_rows();
void add_restart_rows();

}  // namespace bench
