/* LD_PRELOAD shim: every sync to disk takes 2 ms longer, as on a disk without a fast cache. Built by event-loop.ts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_2ms(void) {
  struct timespec left = {0, 2000000};
  while (nanosleep(&left, &left) != 0) {
  }
}

static int call_slowly(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  wait_2ms();
  return real(fd);
}

int fsync(int fd) { return call_slowly("fsync", fd); }
int fdatasync(int fd) { return call_slowly("fdatasync", fd); }
