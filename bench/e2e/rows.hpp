// The rows of the end-to-end suite; each function is in the file that asks its question.
#pragma once

namespace bench {

void add_select_rows();
void add_batch_rows();
void add_copy_rows();

}  // namespace bench
