//go:build cgo && linux

package memory

// Pebble's blocks and memtables are memory of C, where there is C. By default its
// allocator gives threads arenas of their own, as many as eight for each processor. What
// is free in one is of no use to another, and cost a tenth of the process's memory. The
// threads that have blocks read are few, so one arena is no bottleneck. Memory of 128 KiB
// and more, such as a memtable, goes back to the system as soon as it is free; the
// allocator would raise that bound by itself. It has to be told before there are threads,
// hence not by Go. docs/decisions/0019-tasks-at-rest.md has the figures.

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
__attribute__((constructor)) static void handprint_one_arena(void) {
	if (!getenv("MALLOC_ARENA_MAX")) {
		mallopt(M_ARENA_MAX, 1);
	}
	if (!getenv("MALLOC_MMAP_THRESHOLD_")) {
		mallopt(M_MMAP_THRESHOLD, 128 << 10);
	}
}
#endif
*/
import "C"
