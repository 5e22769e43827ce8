# moodycamel::ConcurrentQueue: one header, which distributions put into different folders and ship
# without a CMake package. Defines ConcurrentQueue::ConcurrentQueue; include <concurrentqueue.h>.
find_path(ConcurrentQueue_INCLUDE_DIR NAMES concurrentqueue.h
          PATH_SUFFIXES concurrentqueue moodycamel concurrentqueue/moodycamel)
mark_as_advanced(ConcurrentQueue_INCLUDE_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  ConcurrentQueue REQUIRED_VARS ConcurrentQueue_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "on Debian it is in libconcurrentqueue-dev, which scripts/setup installs")

if(ConcurrentQueue_FOUND AND NOT TARGET ConcurrentQueue::ConcurrentQueue)
  add_library(ConcurrentQueue::ConcurrentQueue INTERFACE IMPORTED)
  set_target_properties(ConcurrentQueue::ConcurrentQueue PROPERTIES
                        INTERFACE_INCLUDE_DIRECTORIES "${ConcurrentQueue_INCLUDE_DIR}")
endif()
