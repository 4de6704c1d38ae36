// Shifts the wall clock of a process by the microseconds in the file CHATCORE_CLOCK, eight bytes in the machine's order. The file is mapped, so
// that a change of it is a jump of the clock. This code allocates no memory, because allocators ask for the time.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

static int64_t shifted(void) {
	if (!shift) {
		const char *path = getenv("CHATCORE_CLOCK");
		int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0) return 0;
		void *mapped = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		if (mapped == MAP_FAILED) return 0;
		shift = mapped;
	}
	return *shift;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
	if (syscall(SYS_clock_gettime, clock, t)) return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
		int64_t us = t->tv_sec * INT64_C(1000000) + t->tv_nsec / 1000 + shifted();
		t->tv_nsec = us % 1000000 * 1000 + t->tv_nsec % 1000;
		t->tv_sec = us / 1000000;
	}
	return 0;
}

int gettimeofday(struct timeval *t, void *zone) {
	struct timespec now;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t) *t = now.tv_sec;
	return now.tv_sec;
}
