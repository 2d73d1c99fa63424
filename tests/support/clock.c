/* A server's wall clock that a test can move. Put in front of the C library's by LD_PRELOAD.
 * The file that CLOCK_FILE names holds an int64: the microseconds to add. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *moved;

__attribute__((constructor)) static void open_file(void) {
  const char *name = getenv("CLOCK_FILE");
  int file = name ? open(name, O_RDONLY) : -1;
  if (file < 0) abort();
  moved = mmap(0, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
  if (moved == MAP_FAILED) abort();
}

static int64_t now_us(void) {
  struct timespec real;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
  return real.tv_sec * 1000000LL + real.tv_nsec / 1000 + *moved;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  int64_t now = now_us();
  (void)zone;
  time->tv_sec = now / 1000000;
  time->tv_usec = now % 1000000;
  return 0;
}

time_t time(time_t *out) {
  time_t now = now_us() / 1000000;
  if (out) *out = now;
  return now;
}
